"""WebSockets: from the raw frames of a connection to messages, and from messages to the calls they carry."""
