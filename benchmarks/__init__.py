"""What the template's claims rest on: itself beside its peers, on one machine in one run."""
