"""When and in which order messages go out: lanes per next hop, retry steps, expiry."""
