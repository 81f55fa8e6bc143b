"""Work on several machines, by Ray: the only room that imports it (extra `scale`)."""
