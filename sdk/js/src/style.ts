// The one stylesheet of the SDK's pages, byte for byte that of the other SDKs (protocol §18).

export const STYLE = `:root{color-scheme:light dark;--ground:#f4f5f7;--card:#fff;--ink:#1b1f27;--quiet:#565e6c;--line:#dfe3e8;--accent:#1f5fd1;--on-accent:#fff}
@media (prefers-color-scheme:dark){:root{--ground:#12151b;--card:#1b2029;--ink:#e8ebf0;--quiet:#a5aebd;--line:#2d3440;--accent:#8ab4ff;--on-accent:#0d1b33}}
*{box-sizing:border-box}
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1rem;background:var(--ground);color:var(--ink);font:1rem/1.55 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
main{width:100%;max-width:27rem;padding:2rem;background:var(--card);border:1px solid var(--line);border-radius:.875rem;overflow-wrap:anywhere}
h1{margin:0 0 .75rem;font-size:1.35rem;line-height:1.25}
p{margin:.75rem 0;color:var(--quiet)}
strong{color:var(--ink)}
form{margin:1.25rem 0 0}
a{color:var(--accent)}
.button{display:inline-block;width:100%;padding:.7rem 1rem;border:0;border-radius:.5rem;background:var(--accent);color:var(--on-accent);font:inherit;font-weight:600;text-align:center;text-decoration:none;cursor:pointer}
.link{padding:0;border:0;background:none;color:var(--accent);font:inherit;text-decoration:underline;cursor:pointer}
:focus-visible{outline:3px solid var(--accent);outline-offset:3px}
`;
