"""What a run takes: its time, its memory, its size and its price, measured in a lab of its own."""
