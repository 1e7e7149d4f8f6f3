"""REST routes: parse, call one service, render."""
