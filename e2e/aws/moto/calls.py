"""Calls to both services in order: actions with their parameters, and states to wait for.

Parameters may be a function of the previous responses: `so_far["create_policy"]` is the last response to
that action.
"""

import json
from dataclasses import dataclass
from typing import Any, Callable


@dataclass(frozen=True)
class Call:
    service: str
    action: str
    parameters: Any = None
    # Caller: "administrator", "user" with a key of its own, or "anonymous" without a signature.
    caller: str = "administrator"


@dataclass(frozen=True)
class Until:
    """A state to wait for, since RDS executes requests asynchronously."""

    action: str
    parameters: dict
    reached: Callable[[dict], bool]
    service: str = "rds"


def document(*statements):
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


ALL = document({"Effect": "Allow", "Action": "*", "Resource": "*"})
CONNECT = document({"Effect": "Allow", "Action": "rds-db:connect", "Resource": "*"})
DESCRIBE = document({"Effect": "Allow", "Action": "rds:DescribeDBInstances", "Resource": "*"})
TRUST = document({"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "ec2.amazonaws.com"}})
TAGS = [{"Key": "team", "Value": "one"}]


def iam(action, **parameters):
    return Call("iam", action, parameters)


def sts(action, caller="administrator", **parameters):
    return Call("sts", action, parameters, caller)


def rds(action, **parameters):
    return Call("rds", action, parameters)


def policy_arn(so_far):
    return so_far["create_policy"]["Policy"]["Arn"]


def with_policy(action, **parameters):
    return Call("iam", action, lambda so_far: {"PolicyArn": policy_arn(so_far), **parameters})


def with_provider(action, **parameters):
    arn = "OpenIDConnectProviderArn"
    return Call("iam", action, lambda so_far: {arn: so_far["create_open_id_connect_provider"][arn], **parameters})


def with_key(action, **parameters):
    return Call("iam", action, lambda so_far: {"AccessKeyId": so_far["create_access_key"]["AccessKey"]["AccessKeyId"], **parameters})


STS = [
    sts("get_caller_identity"),
    sts("get_caller_identity", caller="user"),
    Call("sts", "assume_role", lambda so_far: {"RoleArn": so_far["role"], "RoleSessionName": "compared"}, "user"),
    Call(
        "sts",
        "assume_role_with_web_identity",
        lambda so_far: {"RoleArn": so_far["web_role"], "RoleSessionName": "compared", "WebIdentityToken": so_far["web_token"]},
        "anonymous",
    ),
    sts("get_session_token", caller="user"),
    sts("get_federation_token", caller="user", Name="compared", Policy=CONNECT),
    Call("sts", "get_access_key_info", lambda so_far: {"AccessKeyId": so_far["key"]}),
]

USERS = [
    iam("create_user", UserName="jane", Path="/staff/", Tags=TAGS),
    iam("create_user", UserName="john"),
    iam("get_user", UserName="jane"),
    iam("list_users", PathPrefix="/staff/"),
    iam("update_user", UserName="john", NewUserName="jack"),
    iam("tag_user", UserName="jane", Tags=[{"Key": "floor", "Value": "2"}]),
    iam("list_user_tags", UserName="jane"),
    iam("untag_user", UserName="jane", TagKeys=["floor"]),
    iam("create_access_key", UserName="jane"),
    iam("list_access_keys", UserName="jane"),
    with_key("get_access_key_last_used"),
    with_key("update_access_key", UserName="jane", Status="Inactive"),
    with_key("delete_access_key", UserName="jane"),
    iam("put_user_policy", UserName="jane", PolicyName="connect", PolicyDocument=CONNECT),
    iam("get_user_policy", UserName="jane", PolicyName="connect"),
    iam("list_user_policies", UserName="jane"),
]

GROUPS = [
    iam("create_group", GroupName="developers", Path="/staff/"),
    iam("add_user_to_group", GroupName="developers", UserName="jane"),
    iam("get_group", GroupName="developers"),
    iam("list_groups"),
    iam("list_groups_for_user", UserName="jane"),
    iam("put_group_policy", GroupName="developers", PolicyName="describe", PolicyDocument=DESCRIBE),
    iam("get_group_policy", GroupName="developers", PolicyName="describe"),
    iam("list_group_policies", GroupName="developers"),
    iam("update_group", GroupName="developers", NewGroupName="makers"),
]

ROLES = [
    iam("create_role", RoleName="worker", AssumeRolePolicyDocument=TRUST, Description="works", MaxSessionDuration=7200, Tags=TAGS),
    iam("get_role", RoleName="worker"),
    iam("list_roles"),
    iam("update_role", RoleName="worker", Description="still works", MaxSessionDuration=3600),
    iam("update_role_description", RoleName="worker", Description="and still"),
    iam("update_assume_role_policy", RoleName="worker", PolicyDocument=TRUST),
    iam("tag_role", RoleName="worker", Tags=[{"Key": "floor", "Value": "2"}]),
    iam("list_role_tags", RoleName="worker"),
    iam("untag_role", RoleName="worker", TagKeys=["floor"]),
    iam("put_role_policy", RoleName="worker", PolicyName="connect", PolicyDocument=CONNECT),
    iam("get_role_policy", RoleName="worker", PolicyName="connect"),
    iam("list_role_policies", RoleName="worker"),
    iam("create_instance_profile", InstanceProfileName="machine", Path="/fleet/", Tags=TAGS),
    iam("add_role_to_instance_profile", InstanceProfileName="machine", RoleName="worker"),
    iam("get_instance_profile", InstanceProfileName="machine"),
    iam("list_instance_profiles"),
    iam("list_instance_profiles_for_role", RoleName="worker"),
    iam("tag_instance_profile", InstanceProfileName="machine", Tags=[{"Key": "floor", "Value": "2"}]),
    iam("untag_instance_profile", InstanceProfileName="machine", TagKeys=["floor"]),
]

POLICIES = [
    iam("create_policy", PolicyName="connect", Path="/shared/", PolicyDocument=CONNECT, Description="log in", Tags=TAGS),
    with_policy("get_policy"),
    iam("list_policies", Scope="Local"),
    with_policy("create_policy_version", PolicyDocument=DESCRIBE),
    with_policy("get_policy_version", VersionId="v2"),
    with_policy("list_policy_versions"),
    with_policy("set_default_policy_version", VersionId="v2"),
    with_policy("delete_policy_version", VersionId="v1"),
    with_policy("tag_policy", Tags=[{"Key": "floor", "Value": "2"}]),
    with_policy("list_policy_tags"),
    with_policy("untag_policy", TagKeys=["floor"]),
    with_policy("attach_user_policy", UserName="jane"),
    with_policy("attach_group_policy", GroupName="makers"),
    with_policy("attach_role_policy", RoleName="worker"),
    iam("list_attached_user_policies", UserName="jane"),
    iam("list_attached_group_policies", GroupName="makers"),
    iam("list_attached_role_policies", RoleName="worker"),
    with_policy("list_entities_for_policy"),
    Call("iam", "put_role_permissions_boundary", lambda so_far: {"RoleName": "worker", "PermissionsBoundary": policy_arn(so_far)}),
    iam("get_role", RoleName="worker"),
    iam("get_account_authorization_details"),
    iam("get_account_summary"),
    iam("list_account_aliases"),
    iam("delete_role_permissions_boundary", RoleName="worker"),
]

PROVIDERS = [
    iam("create_open_id_connect_provider", Url="https://oidc.example.com/id/1", ClientIDList=["sts.amazonaws.com"], ThumbprintList=["a" * 40], Tags=TAGS),
    with_provider("get_open_id_connect_provider"),
    iam("list_open_id_connect_providers"),
    with_provider("update_open_id_connect_provider_thumbprint", ThumbprintList=["b" * 40]),
    with_provider("tag_open_id_connect_provider", Tags=[{"Key": "floor", "Value": "2"}]),
    with_provider("list_open_id_connect_provider_tags"),
    with_provider("untag_open_id_connect_provider", TagKeys=["floor"]),
    with_provider("delete_open_id_connect_provider"),
]

UNDONE = [
    with_policy("detach_user_policy", UserName="jane"),
    with_policy("detach_group_policy", GroupName="makers"),
    with_policy("detach_role_policy", RoleName="worker"),
    with_policy("delete_policy"),
    iam("remove_role_from_instance_profile", InstanceProfileName="machine", RoleName="worker"),
    iam("delete_instance_profile", InstanceProfileName="machine"),
    iam("delete_role_policy", RoleName="worker", PolicyName="connect"),
    iam("delete_role", RoleName="worker"),
    iam("delete_group_policy", GroupName="makers", PolicyName="describe"),
    iam("remove_user_from_group", GroupName="makers", UserName="jane"),
    iam("delete_group", GroupName="makers"),
    iam("delete_user_policy", UserName="jane", PolicyName="connect"),
    iam("delete_user", UserName="jane"),
    iam("delete_user", UserName="jack"),
]

INSTANCE = {"DBInstanceIdentifier": "compared"}
CLUSTER = {"DBClusterIdentifier": "flock"}
MASTER = {"MasterUsername": "master", "MasterUserPassword": "eleven-and-a-half-vegetables"}


def instance(status, **which):
    return Until("describe_db_instances", which or INSTANCE, lambda answer: answer["DBInstances"][0]["DBInstanceStatus"] == status)


def cluster(status):
    return Until("describe_db_clusters", CLUSTER, lambda answer: answer["DBClusters"][0]["Status"] == status)


def with_instance(action, **parameters):
    return Call("rds", action, lambda so_far: {"ResourceName": so_far["create_db_instance"]["DBInstance"]["DBInstanceArn"], **parameters})


INSTANCES = [
    rds(
        "create_db_instance",
        **INSTANCE,
        **MASTER,
        Engine="postgres",
        DBInstanceClass="db.t4g.micro",
        AllocatedStorage=20,
        EnableIAMDatabaseAuthentication=True,
        Tags=TAGS,
    ),
    instance("available"),
    rds("describe_db_instances", **INSTANCE),
    rds("describe_db_instances"),
    rds("modify_db_instance", **INSTANCE, EnableIAMDatabaseAuthentication=False, ApplyImmediately=True),
    instance("available"),
    with_instance("add_tags_to_resource", Tags=[{"Key": "floor", "Value": "2"}]),
    with_instance("list_tags_for_resource"),
    with_instance("remove_tags_from_resource", TagKeys=["floor"]),
    rds("describe_db_log_files", **INSTANCE),
    rds("reboot_db_instance", **INSTANCE),
    instance("available"),
    rds("stop_db_instance", **INSTANCE),
    instance("stopped"),
    rds("start_db_instance", **INSTANCE),
    instance("available"),
]

CLUSTERS = [
    rds("create_db_cluster", **CLUSTER, **MASTER, Engine="aurora-postgresql", EnableIAMDatabaseAuthentication=True, Tags=TAGS),
    rds(
        "create_db_instance",
        **CLUSTER,
        DBInstanceIdentifier="first-of-flock",
        Engine="aurora-postgresql",
        DBInstanceClass="db.r6g.large",
    ),
    instance("available", DBInstanceIdentifier="first-of-flock"),
    cluster("available"),
    rds("describe_db_clusters", **CLUSTER),
    rds("modify_db_cluster", **CLUSTER, EnableIAMDatabaseAuthentication=False, ApplyImmediately=True),
    cluster("available"),
    rds("stop_db_cluster", **CLUSTER),
    cluster("stopped"),
    rds("start_db_cluster", **CLUSTER),
    cluster("available"),
    rds("delete_db_instance", DBInstanceIdentifier="first-of-flock", SkipFinalSnapshot=True),
    Until("describe_db_clusters", CLUSTER, lambda answer: not answer["DBClusters"][0]["DBClusterMembers"]),
    rds("delete_db_cluster", **CLUSTER, SkipFinalSnapshot=True),
]

PROXIES = [
    Call(
        "rds",
        "create_db_proxy",
        lambda so_far: {
            "DBProxyName": "before",
            "EngineFamily": "POSTGRESQL",
            "RoleArn": so_far["role"],
            "VpcSubnetIds": so_far["subnets"],
            "RequireTLS": True,
            "Auth": [{"IAMAuth": "REQUIRED", "AuthScheme": "SECRETS", "SecretArn": "arn:aws:secretsmanager:us-east-1:123456789012:secret:s"}],
        },
    ),
    rds("describe_db_proxies", DBProxyName="before"),
    rds("register_db_proxy_targets", DBProxyName="before", DBInstanceIdentifiers=["compared"]),
    rds("describe_db_proxy_target_groups", DBProxyName="before"),
    rds("describe_db_proxy_targets", DBProxyName="before"),
    rds("deregister_db_proxy_targets", DBProxyName="before", DBInstanceIdentifiers=["compared"]),
    rds("delete_db_proxy", DBProxyName="before"),
]

CALLS = [
    *STS,
    *USERS,
    *GROUPS,
    *ROLES,
    *POLICIES,
    *PROVIDERS,
    *UNDONE,
    *INSTANCES,
    *PROXIES,
    *CLUSTERS,
    rds("delete_db_instance", **INSTANCE, SkipFinalSnapshot=True),
]
