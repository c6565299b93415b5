# Example consumer: prints every event of Vestibule once. Requires pika (pip install pika); see docs/EVENTS.md.
import json, os, sqlite3, pika

done = sqlite3.connect("done.db")
done.execute("CREATE TABLE IF NOT EXISTS done (id TEXT PRIMARY KEY)")
channel = pika.BlockingConnection(pika.URLParameters(os.environ["AMQP_URL"])).channel()
channel.queue_declare("example.users", durable=True, arguments={"x-queue-type": "quorum"})
channel.queue_bind("example.users", os.environ.get("AMQP_PREFIX", "vestibule") + ".events", "user.*")
channel.basic_qos(prefetch_count=20)

def handle_event(channel, delivery, properties, body):
    event = json.loads(body)
    with done:  # Put your own processing into the same transaction.
        if done.execute("INSERT OR IGNORE INTO done VALUES (?)", [event["id"]]).rowcount:
            print(event["time"], event["type"], event["data"], flush=True)
    channel.basic_ack(delivery.delivery_tag)  # After the commit, so that a crash redelivers the event.

channel.basic_consume("example.users", handle_event)
channel.start_consuming()
