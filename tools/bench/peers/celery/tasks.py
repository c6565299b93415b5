"""Celery worker that mails a code."""

import os
import smtplib
from email.message import EmailMessage

from celery import Celery

queue = Celery("peer", broker=os.environ["PEER_AMQP_URL"])
queue.conf.update(
    task_default_queue=os.environ["PEER_QUEUE"],
    task_ignore_result=True,
    broker_connection_retry_on_startup=True,
)


@queue.task(name="send_code", acks_late=True)
def send_code(email: str, digits: str) -> None:
    mail = EmailMessage()
    mail["From"] = "Vestibule <no-reply@example.com>"
    mail["To"] = email
    mail["Subject"] = "Your code"
    mail.set_content(f"Your code is\n\n{digits}\n\nIt is valid for one minute. If you did not register, ignore this mail.\n")
    mail.add_alternative(f"<p>Your code is</p><p><b>{digits}</b></p><p>It is valid for one minute.</p>", subtype="html")
    with smtplib.SMTP(os.environ["PEER_SMTP_HOST"], int(os.environ["PEER_SMTP_PORT"])) as server:
        server.send_message(mail)
