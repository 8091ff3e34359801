"""This process and its surroundings: cores, native output, interrupts, exit codes."""
