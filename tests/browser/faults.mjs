// A zone's alias that can fall ill: a proxy before the engine, on a port of its own, with every way of not answering.

import { once } from "node:events";
import { createServer, request } from "node:http";

/** Each says what becomes of a request, and whether anybody listens at all. */
const illnesses = {
    "refuses connections": { listens: false },
    "accepts and never answers": { answer: () => {} },
    "answers 500 to everything": { answer: (_, response) => response.writeHead(500).end() },
    "says that it is there, and never answers beyond that": { answer: (url) => (url.startsWith("/.well-known/") ? "well" : undefined) },
};

/** Starts one, healthy, for this host. It stops with the journey. */
export async function startAlias({ demo, finally: atTheEnd }, host) {
    let illness;
    const engine = new URL(demo.engine).port;
    const server = createServer((asked, response) => {
        if (illness && illness.answer(asked.url, response) !== "well") return;
        const options = { host: "127.0.0.1", port: engine, method: asked.method, path: asked.url, headers: asked.headers, agent: false };
        const onward = request(options, (answer) => {
            response.writeHead(answer.statusCode, answer.rawHeaders);
            answer.pipe(response);
        });
        onward.on("error", () => response.destroy());
        asked.pipe(onward);
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const { port } = server.address();
    const stop = async () => {
        server.closeAllConnections();
        if (!server.listening) return;
        server.close();
        await once(server, "close");
    };
    atTheEnd(stop);
    return {
        origin: `http://${host}:${port}`,
        /** From now on. Connections from before are gone, so that nothing is answered by one of them. */
        async falls(name) {
            await stop();
            illness = illnesses[name];
            if (illness.listens !== false) await once(server.listen(port, "127.0.0.1"), "listening");
        },
        async recovers() {
            await stop();
            illness = undefined;
            await once(server.listen(port, "127.0.0.1"), "listening");
        },
    };
}

/** Their names. */
export const ILLNESSES = Object.keys(illnesses);
