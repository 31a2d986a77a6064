-- The services that somebody has let an app of others call in their name, as they are named in its tokens, with spaces in between.
ALTER TABLE consents ADD COLUMN resources {text} NOT NULL DEFAULT '';

-- The names by which an app that nobody has declared may ask people for tokens for this one; none closes it to those.
ALTER TABLE apps ADD COLUMN open_to_third_parties {text} NOT NULL DEFAULT '';
