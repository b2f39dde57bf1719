"""The tutorial of the README, played: `make demo`, or `python -m demo`.

Development code: roj itself never imports it.
"""
