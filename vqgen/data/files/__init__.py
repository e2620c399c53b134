"""Files to arrays of bytes: trees, decoding, prepared sets."""
