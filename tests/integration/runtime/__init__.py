"""Turns, runs and calls of other clients, through the whole System and a real socket."""
