"""Fuzzing, faults and endurance: short versions run with the suite, long ones as scripts."""
