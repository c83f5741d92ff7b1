"""Delivery: the changes of an organisation are posted to its webhook endpoints.

1. Take    `worker.py`     each endpoint that no process of any server sends to
2. Read    `endpoint.py`   the log past the endpoint's position, and what is due to be tried again
3. Write   `payload.py`    the change as an account for reports sees it, signed
4. Post    `sending.py`    to an address that `addresses.py` has checked
5. Note    `progress.py`   the new position and what was not accepted, in one transaction
"""
