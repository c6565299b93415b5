"""What Schemathesis cannot know of the spec: who registered, and which code the mail says."""

import itertools
import json
import os
import re
import time
import urllib.request

import schemathesis

INBOX = os.environ["INBOX_URL"]
registered = {}  # what was sent to register, by the id of its receipt
codes = {}  # the newest code of each address
networks = itertools.count(1)


def read_mails():
    """Takes what has come in out of the inbox, so that there is never much to read."""
    with urllib.request.urlopen(f"{INBOX}/email") as mails:
        for mail in json.load(mails):
            code = re.search(r"^\s*(\d{4,10})\s*$", mail.get("text") or "", re.MULTILINE)
            for person in mail["to"]:
                if code:
                    codes[person["address"]] = code.group(1)
    urllib.request.urlopen(urllib.request.Request(f"{INBOX}/email/all", method="DELETE"))


def code_of(address):
    read_mails()
    for _ in range(5):  # a mail takes a moment; one that cannot be delivered never comes
        if address not in codes:
            time.sleep(0.1)
            read_mails()
    return codes.get(address)


@schemathesis.hook
def before_call(context, case, kwargs):
    # Each request comes from a network of its own, as fair shares are about those that come from one.
    number = next(networks)
    case.headers["X-Forwarded-For"] = f"10.{number >> 16}.{(number >> 8) & 255}.{number & 255}"
    if not isinstance(case.body, dict):
        return
    body = dict(case.body)  # the one that is there may belong to the spec
    # The example of the spec would soon have an account, and nothing more would happen to it.
    if body.get("email") == "ada@example.com":
        body["email"] = f"ada+{number}@example.com"
    # Without credentials, or with made-up ones, it stays: those who are to be let in have what --auth gave them
    # (which only a private attribute tells; the version is pinned).
    elif case._has_explicit_auth and registered:
        named = body.get("registration")
        known = registered.get(named) if isinstance(named, str) else next(reversed(registered.values()))
        if known:
            kwargs["auth"] = (known["email"].encode(), known["password"].encode())
        # Most activations have the right code if the mail is there, the rest are guesses.
        if known and "code" in body and number % 4:
            body["code"] = code_of(known["email"].strip().lower()) or body["code"]
    case.body = body


@schemathesis.hook
def after_call(context, case, response):
    if case.operation.label == "POST /v1/users" and response.status_code == 202 and isinstance(case.body, dict):
        registered[response.json()["registration"]] = case.body
