"""Memories: read, learned, streamed, in shards, and large ones in files."""
