"""i-PI moves one structure, or the beads of one, by a driver inside of its process."""
