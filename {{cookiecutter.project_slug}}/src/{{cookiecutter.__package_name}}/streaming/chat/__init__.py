"""Chat: answers of a language model, as runs, in the protocols of its clients."""
