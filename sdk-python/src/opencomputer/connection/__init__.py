"""Connections to sessions: frames, sockets, and reconnecting."""
