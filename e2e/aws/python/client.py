"""boto3, configured by the environment only. Runs the verbs in order, and prints one line for each.

usage: client.py INSTANCE VERB...
"""

import os
import sys

import boto3
import psycopg
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

USER = "app"


class Client:
    def __init__(self, instance):
        self.instance = instance
        self.session = boto3.Session()
        # An existing server; `describe` replaces it.
        self.host, self.port = os.environ.get("PGHOST"), os.environ.get("PGPORT")

    def identity(self):
        return self.session.client("sts").get_caller_identity()["Arn"]

    def assume(self):
        sts = self.session.client("sts")
        account = sts.get_caller_identity()["Account"]
        role = sts.assume_role(RoleArn=f"arn:aws:iam::{account}:role/app-admin", RoleSessionName="interop")["Credentials"]
        self.session = boto3.Session(
            aws_access_key_id=role["AccessKeyId"],
            aws_secret_access_key=role["SecretAccessKey"],
            aws_session_token=role["SessionToken"],
        )
        return self.identity()

    def create(self):
        created = self.session.client("rds").create_db_instance(
            DBInstanceIdentifier=self.instance,
            Engine="postgres",
            DBInstanceClass="db.t4g.micro",
            AllocatedStorage=20,
            MasterUsername="master",
            MasterUserPassword=os.environ["MASTER_PASSWORD"],
            EnableIAMDatabaseAuthentication=True,
        )
        return created["DBInstance"]["DBInstanceStatus"]

    def wait(self):
        waiter = self.session.client("rds").get_waiter("db_instance_available")
        waiter.wait(DBInstanceIdentifier=self.instance, WaiterConfig={"Delay": 1, "MaxAttempts": 120})
        return "available"

    def describe(self):
        (found,) = self.session.client("rds").describe_db_instances(DBInstanceIdentifier=self.instance)["DBInstances"]
        self.host, self.port = found["Endpoint"]["Address"], found["Endpoint"]["Port"]
        return f'{self.host}:{self.port} {found["DbiResourceId"]} iam={str(found["IAMDatabaseAuthenticationEnabled"]).lower()}'

    def prepare(self):
        with self.connect("master", os.environ["MASTER_PASSWORD"]) as connection:
            connection.execute(f"CREATE USER {USER}")
            connection.execute(f"GRANT rds_iam TO {USER}")
        return USER

    def token(self):
        self.password = self.session.client("rds").generate_db_auth_token(self.host, int(self.port), USER)
        return len(self.password)

    def login(self):
        with self.connect(USER, self.password) as connection:
            (user,) = connection.execute("SELECT current_user").fetchone()
        return user

    def delete(self):
        deleted = self.session.client("rds").delete_db_instance(DBInstanceIdentifier=self.instance, SkipFinalSnapshot=True)
        return deleted["DBInstance"]["DBInstanceStatus"]

    def connect(self, user, password):
        ca = os.environ["COUNTERSIGN_CA"]
        return psycopg.connect(
            host=self.host, port=self.port, user=user, password=password, dbname="postgres", sslmode="verify-full", sslrootcert=ca
        )


def main():
    client = Client(sys.argv[1])
    for verb in sys.argv[2:]:
        try:
            print(verb, getattr(client, verb)(), flush=True)
        except ClientError as error:
            sys.exit(f'{verb}: {error.response["Error"]["Code"]}: {error}')
        except (BotoCoreError, WaiterError, psycopg.Error) as error:
            sys.exit(f"{verb}: {type(error).__name__}: {error}")


main()
