"""The HTTP API, the live page, and one engine behind them for everybody who asks. See docs/decisions/0013-server.md.

    guard (who may, how much) --> routes --> room (bounded) --> desk (one engine) --> rows

Nothing imports this room except the command `serve`.
"""
