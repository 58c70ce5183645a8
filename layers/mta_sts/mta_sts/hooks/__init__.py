"""Deliveries of systems that sign: who has sent one, is it fresh, what does it ask for, may it."""
