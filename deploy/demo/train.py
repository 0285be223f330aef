#!/usr/bin/python3
"""The training job of the demo. It runs inside `mayfly run` and owns nothing when it starts.

It asks the Workload API for its identity (by `mayfly svid fetch`), fetches its data set over mutual TLS,
trains a small network on it, writes a row of metrics after each epoch to PostgreSQL with the same
certificate, and ends. With a data set in a bucket (s3://...) it reads that, and writes its model to the bucket
as a checkpoint: boto3 finds the job's token by itself, nothing here names a key. Real jobs do the same with more data.
"""
import argparse
import csv
import io
import json
import os
import pickle
import shutil
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.request

import numpy
import psycopg2
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier


def fetch_identity(mayfly, where):
    """Writes svid.pem, key.pem and bundle.pem into ${where}; the key is readable by this user only."""
    subprocess.run([mayfly, "svid", "fetch", "--write", where], check=True, stdout=subprocess.DEVNULL)
    return os.path.join(where, "svid.pem"), os.path.join(where, "key.pem")


def fetch_data(url, cert, key, server_ca):
    tls = ssl.create_default_context(cafile=server_ca)
    tls.load_cert_chain(cert, key)
    with urllib.request.urlopen(url, context=tls, timeout=60) as answer:
        return answer.read()


def bucket_and_key(url):
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return {"Bucket": bucket, "Key": key}


def copy_credentials(session, path):
    c = session.get_credentials().get_frozen_credentials()
    with open(path, "w", opener=lambda p, flags: os.open(p, flags, 0o600)) as f:
        json.dump({"AccessKeyId": c.access_key, "SecretAccessKey": c.secret_key, "Token": c.token}, f)


def parse(data):
    rows = list(csv.reader(io.StringIO(data.decode("ascii"))))
    table = numpy.array(rows, dtype=float)
    return table[:, :-1] / 16.0, table[:, -1].astype(int)


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--data", required=True, help="https or s3 URL of the data set")
    ap.add_argument("--checkpoint", help="s3 URL for the trained model; RUN in it becomes the run's name")
    ap.add_argument("--database", required=True, help="host:port of PostgreSQL")
    ap.add_argument("--server-ca", required=True, help="the servers' CA, PEM")
    ap.add_argument("--mayfly", default="mayfly")
    ap.add_argument("--epochs", type=int, default=12)
    ap.add_argument("--leak", help="leave a copy of certificate and key here, as a careless job might")
    args = ap.parse_args()

    job = os.environ.get("MAYFLY_JOB", "?")
    with tempfile.TemporaryDirectory(prefix="demo-train-") as own:
        cert, key = fetch_identity(args.mayfly, own)
        print(f"job {job}: holds an identity", flush=True)
        if args.data.startswith("s3://"):
            import boto3
            session = boto3.Session()
            s3 = session.client("s3")
            x, y = parse(s3.get_object(**bucket_and_key(args.data))["Body"].read())
            print(f"data: {len(x)} images of handwritten digits, from {args.data}", flush=True)
        else:
            x, y = parse(fetch_data(args.data, cert, key, args.server_ca))
            print(f"data: {len(x)} images of handwritten digits, over mutual TLS", flush=True)
        x_train, x_test, y_train, y_test = train_test_split(x, y, test_size=0.25, random_state=1, stratify=y)

        host, port = args.database.rsplit(":", 1)
        db = psycopg2.connect(host=host, port=port, dbname="metrics", user="demo-train", sslmode="verify-full",
                              sslrootcert=args.server_ca, sslcert=cert, sslkey=key, connect_timeout=60)
        net = MLPClassifier(hidden_layer_sizes=(64,), learning_rate_init=0.005, random_state=1)
        accuracy = 0.0
        for epoch in range(1, args.epochs + 1):
            start = time.monotonic()
            net.partial_fit(x_train, y_train, classes=range(10))
            accuracy = accuracy_score(y_test, net.predict(x_test))
            with db, db.cursor() as cur:
                cur.execute("INSERT INTO metrics (job, epoch, loss, accuracy, seconds) VALUES (%s, %s, %s, %s, %s)",
                            (job, epoch, float(net.loss_), float(accuracy), time.monotonic() - start))
        with db, db.cursor() as cur:
            cur.execute("SELECT count(*), max(accuracy) FROM metrics WHERE job = %s", (job,))
            rows, best = cur.fetchone()
        db.close()
        print(f"trained {args.epochs} epochs: accuracy {accuracy:.3f} on {len(x_test)} unseen images", flush=True)
        print(f"metrics: {rows} rows in PostgreSQL, best accuracy {best:.3f}", flush=True)
        if args.leak:
            shutil.copytree(own, args.leak)
        if args.checkpoint:
            # The run that this job is of: a requeued job is of the same one, and finds the checkpoint.
            where = args.checkpoint.replace("RUN", os.environ["MAYFLY_RUN"])
            s3.put_object(Body=pickle.dumps(net), **bucket_and_key(where))
            print(f"checkpoint: {where}", flush=True)
            if args.leak:
                copy_credentials(session, os.path.join(args.leak, "aws.json"))
    return 0 if accuracy > 0.9 else 1


if __name__ == "__main__":
    sys.exit(main())
