"""The method check: what is looked at, what is judged from it, and how it is said."""
