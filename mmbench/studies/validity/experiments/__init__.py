"""One experiment a file: what is observed of one person, and what all rows say."""
