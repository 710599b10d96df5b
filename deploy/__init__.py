"""Joins the stages into one command line and runs the whole system on one machine."""
