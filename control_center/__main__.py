"""`python -m control_center`: the same as `citynerve control run`."""

from control_center.commands import control

if __name__ == "__main__":
    control(["run"])
