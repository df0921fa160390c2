"""What the tests share: answers, baked projects, processes, servers and a terminal."""
