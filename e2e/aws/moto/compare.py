"""Sends the same requests to the authority and to moto, and compares the keys and types of the
responses that botocore parses.

usage: compare.py COUNTERSIGN [SERVICE...]

Without a service, all services are compared. calls.py contains a call of every action that both
implement; a missing one is a failure. differences.toml contains the known differences with their
reasons; other differences, and known ones that no longer exist, are failures.
"""

import fnmatch
import logging
import os
import subprocess
import sys
import tempfile
import time
import tomllib
from collections import Counter
from pathlib import Path

import boto3
from botocore import UNSIGNED, xform_name
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from moto.server import ThreadedMotoServer

from calls import ALL, CALLS, Call, Until, document

REGION = "eu-central-1"
PATIENCE = 60
HERE = Path(__file__).parent
SERVICES = {"sts": "TokenResponse", "iam": "IamResponse", "rds": "RDSResponse"}


class Side:
    """The authority or moto, with its previous responses."""

    def __init__(self, name, url, keys, so_far):
        self.name, self.url, self.keys, self.so_far = name, url, keys, so_far
        self.clients = {}

    def client(self, service, caller="administrator", **settings):
        keys = self.keys.get(caller)
        config = Config(retries={"total_max_attempts": 1}, **({} if keys else {"signature_version": UNSIGNED}), **settings)
        return boto3.Session(**(keys or {}), region_name=REGION).client(service, endpoint_url=self.url, config=config)

    def ask(self, call):
        """Returns the response, or the error code."""
        try:
            parameters = call.parameters(self.so_far) if callable(call.parameters) else call.parameters
            asked = (call.service, call.caller)
            client = self.clients.get(asked) or self.clients.setdefault(asked, self.client(*asked))
            answer = getattr(client, call.action)(**parameters)
        except ClientError as error:
            return error.response["Error"]["Code"]
        except (BotoCoreError, KeyError) as error:
            return f"{type(error).__name__}: {error}"
        answer.pop("ResponseMetadata")
        self.so_far[call.action] = answer
        return answer

    def wait(self, until):
        deadline = time.monotonic() + PATIENCE
        describe = getattr(self.client("rds"), until.action)
        while True:
            try:
                answer = describe(**until.parameters)
            except ClientError as error:
                return error.response["Error"]["Code"]
            if until.reached(answer):
                return None
            if time.monotonic() > deadline:
                return f"timed out after {PATIENCE} s"
            time.sleep(0.2)

    def has(self, service, action):
        """Returns True if the action is implemented. The request has no parameters."""
        try:
            getattr(self.client(service, parameter_validation=False), action)()
        except ClientError as error:
            # The second for an action that is asked without a signature.
            return error.response["Error"]["Code"] not in ("InvalidAction", "MissingAuthenticationToken")
        except BotoCoreError:
            pass
        return True


def compare(path, ours, theirs):
    """Yields the differences: path, side and description."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted(ours.keys() | theirs.keys()):
            below = f"{path}.{key}" if path else key
            if key not in theirs:
                yield below, "authority", f"moto has none, the authority {kind(ours[key])}"
            elif key not in ours:
                yield below, "moto", f"the authority has none, moto {kind(theirs[key])}"
            else:
                yield from compare(below, ours[key], theirs[key])
    elif isinstance(ours, list) and isinstance(theirs, list):
        if ours and theirs:
            yield from compare(f"{path}[]", *pair(ours, theirs))
        elif ours or theirs:
            yield f"{path}[]", "authority" if ours else "moto", "the list is empty on the other side"
    elif kind(ours) != kind(theirs):
        yield path, "type", f"the authority's is {kind(ours)}, moto's {kind(theirs)}"


def pair(ours, theirs):
    """Returns the first elements with the same name, since the lists may differ in order and length,
    or else the first elements."""
    for one in ours:
        for other in theirs:
            if isinstance(one, dict) and isinstance(other, dict):
                if any(key.endswith("Name") and other.get(key) == value for key, value in one.items()):
                    return one, other
    return ours[0], theirs[0]


def kind(value):
    return type(value).__name__


def differences(authority, moto, calls):
    """Sends all calls to both, and yields the differences: call, path, side and description."""
    for call in calls:
        if isinstance(call, Until):
            for side in (authority, moto):
                if why := side.wait(call):
                    yield f"rds.{call.action}", "", "error", f"{side.name} did not reach the state: {why}"
            continue
        name = f"{call.service}.{call.action}"
        ours, theirs = authority.ask(call), moto.ask(call)
        if isinstance(ours, str) or isinstance(theirs, str):
            refusal = [answer if isinstance(answer, str) else "an answer" for answer in (ours, theirs)]
            yield name, "", "error", f"the authority gives {refusal[0]}, moto {refusal[1]}"
        else:
            yield from ((name, *difference) for difference in compare("", ours, theirs))


def unasked(authority, moto, services, asked):
    """Yields the actions that both implement and calls.py lacks."""
    for service in services:
        responses = SERVICES[service]
        module = __import__(f"moto.{service}.responses", fromlist=[responses])
        names = map(xform_name, moto.client(service).meta.service_model.operation_names)
        for action in (name for name in names if hasattr(getattr(module, responses), name)):
            if (service, action) not in asked and authority.has(service, action):
                yield f"{service}.{action}"


def check(found, services):
    """Prints unexpected differences and outdated entries, and returns their number."""
    known = tomllib.loads((HERE / "differences.toml").read_text()).get("difference", [])
    known = [entry for entry in known if entry["call"].split(".")[0] in services]
    matched = Counter()
    wrong = 0
    for call, path, side, words in found:
        matching = [
            at
            for at, entry in enumerate(known)
            if fnmatch.fnmatchcase(call, entry["call"]) and literal(path, entry.get("path", "")) and side == entry["side"]
        ]
        matched.update(matching)
        if not matching:
            wrong += 1
            print(f"✗ {call}: {path or 'the answer'}: {words} (side = {side!r})")
    for at, entry in enumerate(known):
        if not entry.get("reason"):
            wrong += 1
            print(f"✗ differences.toml: {entry} has no reason")
        if not matched[at]:
            wrong += 1
            print(f"✗ differences.toml: {entry['call']} {entry.get('path', '')} no longer differs ({entry['side']})")
    return wrong, len(known)


def literal(path, pattern):
    """Matches a path: `*` matches anything, and `[]` itself."""
    return fnmatch.fnmatchcase(path, pattern.replace("[]", "[[]]"))


def exported(local, *arguments):
    """Returns the variables that `countersign local env` exports."""
    script = subprocess.run([*local, "env", *arguments], check=True, capture_output=True, text=True).stdout
    printed = subprocess.run(["sh", "-c", f"{script}\nenv -0"], check=True, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"})
    return dict(pair.split("=", 1) for pair in printed.stdout.split("\0") if "=" in pair)


def keys(environment):
    return {
        "aws_access_key_id": environment["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": environment["AWS_SECRET_ACCESS_KEY"],
        "aws_session_token": environment.get("AWS_SESSION_TOKEN"),
    }


def prepare(side):
    """Creates a user with a key and a role that the user may assume, as the administrator."""
    account = side.client("sts").get_caller_identity()["Account"]
    iam = side.client("iam")
    iam.create_user(UserName="compared-user")
    iam.put_user_policy(UserName="compared-user", PolicyName="all", PolicyDocument=ALL)
    key = iam.create_access_key(UserName="compared-user")["AccessKey"]
    side.keys["user"] = {"aws_access_key_id": key["AccessKeyId"], "aws_secret_access_key": key["SecretAccessKey"]}
    side.so_far["key"] = key["AccessKeyId"]
    trust = document({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": account}})
    side.so_far["role"] = iam.create_role(RoleName="compared-role", AssumeRolePolicyDocument=trust)["Role"]["Arn"]
    side.so_far.setdefault("web_role", side.so_far["role"])


def authority_of(local):
    irsa, administrator = exported(local, "--source", "irsa"), exported(local, "--user", "admin")
    so_far = {
        "web_role": irsa["AWS_ROLE_ARN"],
        "web_token": Path(irsa["AWS_WEB_IDENTITY_TOKEN_FILE"]).read_text().strip(),
        "role": irsa["AWS_ROLE_ARN"],
        "subnets": ["subnet-11111111", "subnet-22222222"],
    }
    return Side("the authority", administrator["AWS_ENDPOINT_URL"], {"administrator": keys(administrator)}, so_far)


def moto_at(url):
    """Returns moto as a side. It accepts any credentials, and does not verify tokens."""
    any_keys = {"aws_access_key_id": "test", "aws_secret_access_key": "test"}
    first = Side("moto", url, {"administrator": any_keys}, {}).client("sts")
    role = "arn:aws:iam::123456789012:role/app-admin"
    session = first.assume_role(RoleArn=role, RoleSessionName="administrator")["Credentials"]
    administrator = {
        "aws_access_key_id": session["AccessKeyId"],
        "aws_secret_access_key": session["SecretAccessKey"],
        "aws_session_token": session["SessionToken"],
    }
    ec2 = boto3.Session(**any_keys, region_name=REGION).client("ec2", endpoint_url=url)
    subnets = [subnet["SubnetId"] for subnet in ec2.describe_subnets()["Subnets"]]
    return Side("moto", url, {"administrator": administrator}, {"role": role, "web_token": "a.b.c", "subnets": subnets[:2]})


def report(authority, moto, services):
    # RDS needs no user, so IAM is not used for it alone.
    if services != ["rds"]:
        prepare(authority)
        prepare(moto)
    calls = [call for call in CALLS if call.service in services]
    asked = {(call.service, call.action) for call in calls if isinstance(call, Call)}
    wrong, known = check(differences(authority, moto, calls), services)
    missing = list(unasked(authority, moto, services, asked))
    for action in missing:
        print(f"✗ calls.py: both implement {action}, and no call tests it")
    wrong += len(missing)
    print(f"{len(asked)} actions of {', '.join(services)} compared in {len(calls)} calls, {known} known differences, {wrong} failures")
    return wrong


def serve():
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    return f"http://127.0.0.1:{server.get_host_and_port()[1]}"


def main():
    countersign, services = sys.argv[1], sys.argv[2:] or list(SERVICES)
    if unknown := set(services) - set(SERVICES):
        sys.exit(f"compare.py: unknown service {', '.join(sorted(unknown))}; known are {', '.join(SERVICES)}")
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        del os.environ[name]
    os.environ |= {"AWS_EC2_METADATA_DISABLED": "true", "AWS_CONFIG_FILE": os.devnull, "AWS_SHARED_CREDENTIALS_FILE": os.devnull}
    moto = moto_at(serve())
    with tempfile.TemporaryDirectory(prefix="countersign-") as directory:
        # The servers run as another user, which needs access.
        os.chmod(directory, 0o755)
        local = [countersign, "local", "--dir", directory]
        subprocess.run([*local, "up", "--detach", "--engine", "postgres", "--region", REGION], check=True, stdout=subprocess.DEVNULL)
        try:
            return report(authority_of(local), moto, services)
        finally:
            subprocess.run([*local, "down", "--wipe"], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
