//! RDS: database instances, clusters and proxies. The servers are run through
//! [`countersign_authority::servers`].

mod ca_certificate;
mod certificate;
mod cluster;
mod completion;
mod instance;
pub(crate) mod job_runner;
mod jobs;
mod logs;
mod proxy;
mod proxy_listener;
mod records {
    //! Records of the store: pure functions over a state or a draft.

    pub(super) mod cluster;
    pub(super) mod instance;
    pub(super) mod proxy;
}
pub(crate) mod recovery;
mod request;
mod tags;
mod validate;
mod versions;

use super::action::{Action, Service};

/// Source: RDS API reference, version 2014-10-31.
pub(super) const RDS: Service = Service {
    name: "rds",
    version: "2014-10-31",
    namespace: "http://rds.amazonaws.com/doc/2014-10-31/",
    actions: &[INSTANCES, CLUSTERS, ENDPOINTS, PROXIES, REST],
};

const INSTANCES: &[Action] = &[
    Action::writes("CreateDBInstance", CREATE_INSTANCE, instance::create::create),
    Action::reads(
        "DescribeDBInstances",
        &["DBInstanceIdentifier", "Filters", "Marker", "MaxRecords"],
        instance::describe,
    ),
    Action::writes("ModifyDBInstance", MODIFY_INSTANCE, instance::change::modify),
    Action::writes("StartDBInstance", &["DBInstanceIdentifier"], instance::lifecycle::start),
    Action::writes("StopDBInstance", &["DBInstanceIdentifier"], instance::lifecycle::stop),
    Action::writes(
        "RebootDBInstance",
        &["DBInstanceIdentifier", "ForceFailover"],
        instance::lifecycle::reboot,
    ),
    Action::writes(
        "DeleteDBInstance",
        &[
            "DBInstanceIdentifier",
            "SkipFinalSnapshot",
            "FinalDBSnapshotIdentifier",
            "DeleteAutomatedBackups",
        ],
        instance::lifecycle::delete,
    ),
];

const CREATE_INSTANCE: &[&str] = &[
    "DBInstanceIdentifier",
    "AllocatedStorage",
    "AutoMinorVersionUpgrade",
    "BackupRetentionPeriod",
    "CACertificateIdentifier",
    "CopyTagsToSnapshot",
    "DBInstanceClass",
    "DeletionProtection",
    "EnableIAMDatabaseAuthentication",
    "EnablePerformanceInsights",
    "LicenseModel",
    "ManageMasterUserPassword",
    "MasterUserPassword",
    "MonitoringInterval",
    "MultiAZ",
    "NetworkType",
    "PreferredBackupWindow",
    "PreferredMaintenanceWindow",
    "PromotionTier",
    "PubliclyAccessible",
    "StorageType",
    "DBClusterIdentifier",
    "DBName",
    "EnableCloudwatchLogsExports",
    "Engine",
    "EngineVersion",
    "MasterUsername",
    "Port",
    "StorageEncrypted",
    "Tags",
];

const MODIFY_INSTANCE: &[&str] = &[
    "DBInstanceIdentifier",
    "AllocatedStorage",
    "AutoMinorVersionUpgrade",
    "BackupRetentionPeriod",
    "CACertificateIdentifier",
    "CopyTagsToSnapshot",
    "DBInstanceClass",
    "DeletionProtection",
    "EnableIAMDatabaseAuthentication",
    "EnablePerformanceInsights",
    "LicenseModel",
    "ManageMasterUserPassword",
    "MasterUserPassword",
    "MonitoringInterval",
    "MultiAZ",
    "NetworkType",
    "PreferredBackupWindow",
    "PreferredMaintenanceWindow",
    "PromotionTier",
    "PubliclyAccessible",
    "StorageType",
    "ApplyImmediately",
    "CloudwatchLogsExportConfiguration",
    "NewDBInstanceIdentifier",
];

const CLUSTERS: &[Action] = &[
    Action::writes("CreateDBCluster", CREATE_CLUSTER, cluster::change::create),
    Action::reads(
        "DescribeDBClusters",
        &["DBClusterIdentifier", "Filters", "IncludeShared", "Marker", "MaxRecords"],
        cluster::describe,
    ),
    Action::writes("ModifyDBCluster", MODIFY_CLUSTER, cluster::change::modify),
    Action::writes("StartDBCluster", &["DBClusterIdentifier"], cluster::change::start),
    Action::writes("StopDBCluster", &["DBClusterIdentifier"], cluster::change::stop),
    Action::writes(
        "DeleteDBCluster",
        &[
            "DBClusterIdentifier",
            "SkipFinalSnapshot",
            "FinalDBSnapshotIdentifier",
            "DeleteAutomatedBackups",
        ],
        cluster::change::delete,
    ),
];

const CREATE_CLUSTER: &[&str] = &[
    "AutoMinorVersionUpgrade",
    "BackupRetentionPeriod",
    "CACertificateIdentifier",
    "CopyTagsToSnapshot",
    "DBClusterIdentifier",
    "DatabaseName",
    "DeletionProtection",
    "EnableCloudwatchLogsExports",
    "EnableIAMDatabaseAuthentication",
    "Engine",
    "EngineVersion",
    "ManageMasterUserPassword",
    "MasterUserPassword",
    "MasterUsername",
    "NetworkType",
    "Port",
    "PreferredBackupWindow",
    "PreferredMaintenanceWindow",
    "StorageEncrypted",
    "Tags",
];

const MODIFY_CLUSTER: &[&str] = &[
    "ApplyImmediately",
    "AutoMinorVersionUpgrade",
    "BackupRetentionPeriod",
    "CloudwatchLogsExportConfiguration",
    "CopyTagsToSnapshot",
    "DBClusterIdentifier",
    "DeletionProtection",
    "EnableIAMDatabaseAuthentication",
    "ManageMasterUserPassword",
    "MasterUserPassword",
    "NetworkType",
    "NewDBClusterIdentifier",
    "PreferredBackupWindow",
    "PreferredMaintenanceWindow",
];

const ENDPOINTS: &[Action] = &[
    Action::writes(
        "CreateDBClusterEndpoint",
        &[
            "DBClusterIdentifier",
            "DBClusterEndpointIdentifier",
            "EndpointType",
            "StaticMembers",
            "ExcludedMembers",
            "Tags",
        ],
        cluster::endpoint::create,
    ),
    Action::reads(
        "DescribeDBClusterEndpoints",
        &["DBClusterIdentifier", "DBClusterEndpointIdentifier", "Filters", "Marker", "MaxRecords"],
        cluster::endpoint::describe,
    ),
    Action::writes(
        "ModifyDBClusterEndpoint",
        &["DBClusterEndpointIdentifier", "EndpointType", "StaticMembers", "ExcludedMembers"],
        cluster::endpoint::modify,
    ),
    Action::writes(
        "DeleteDBClusterEndpoint",
        &["DBClusterEndpointIdentifier"],
        cluster::endpoint::delete,
    ),
];

const PROXIES: &[Action] = &[
    Action::writes(
        "CreateDBProxy",
        &[
            "DBProxyName",
            "EngineFamily",
            "DefaultAuthScheme",
            "Auth",
            "RoleArn",
            "VpcSubnetIds",
            "RequireTLS",
            "IdleClientTimeout",
            "DebugLogging",
            "Tags",
        ],
        proxy::create,
    ),
    Action::reads(
        "DescribeDBProxies",
        &["DBProxyName", "Filters", "Marker", "MaxRecords"],
        proxy::describe,
    ),
    Action::writes(
        "ModifyDBProxy",
        &[
            "DBProxyName",
            "DefaultAuthScheme",
            "Auth",
            "RequireTLS",
            "IdleClientTimeout",
            "DebugLogging",
            "RoleArn",
        ],
        proxy::modify,
    ),
    Action::writes("DeleteDBProxy", &["DBProxyName"], proxy::delete),
    Action::writes(
        "RegisterDBProxyTargets",
        &["DBProxyName", "TargetGroupName", "DBInstanceIdentifiers", "DBClusterIdentifiers"],
        proxy::target::register,
    ),
    Action::writes(
        "DeregisterDBProxyTargets",
        &["DBProxyName", "TargetGroupName", "DBInstanceIdentifiers", "DBClusterIdentifiers"],
        proxy::target::deregister,
    ),
    Action::reads(
        "DescribeDBProxyTargets",
        &["DBProxyName", "TargetGroupName", "Filters", "Marker", "MaxRecords"],
        proxy::target::describe,
    ),
    Action::reads(
        "DescribeDBProxyTargetGroups",
        &["DBProxyName", "TargetGroupName", "Filters", "Marker", "MaxRecords"],
        proxy::target::describe_groups,
    ),
];

const REST: &[Action] = &[
    Action::waits(
        "DescribeDBEngineVersions",
        &[
            "DBParameterGroupFamily",
            "DefaultOnly",
            "Engine",
            "EngineVersion",
            "Filters",
            "IncludeAll",
            "ListSupportedCharacterSets",
            "ListSupportedTimezones",
            "Marker",
            "MaxRecords",
        ],
        versions::describe,
    ),
    Action::waits(
        "DescribeDBLogFiles",
        &[
            "DBInstanceIdentifier",
            "FileLastWritten",
            "FileSize",
            "FilenameContains",
            "Filters",
            "Marker",
            "MaxRecords",
        ],
        logs::describe,
    ),
    Action::waits(
        "DownloadDBLogFilePortion",
        &["DBInstanceIdentifier", "LogFileName", "Marker", "NumberOfLines"],
        logs::download,
    ),
    Action::reads(
        "DescribeCertificates",
        &["CertificateIdentifier", "Filters", "Marker", "MaxRecords"],
        certificate::describe,
    ),
    Action::reads("ListTagsForResource", &["Filters", "ResourceName"], tags::list),
    Action::writes("AddTagsToResource", &["ResourceName", "Tags"], tags::add),
    Action::writes("RemoveTagsFromResource", &["ResourceName", "TagKeys"], tags::remove),
];

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
