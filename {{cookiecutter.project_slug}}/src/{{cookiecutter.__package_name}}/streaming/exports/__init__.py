"""Exports: whole tables as files, read in batches and with constant memory."""
