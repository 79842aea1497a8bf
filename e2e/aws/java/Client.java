import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.Arrays;
import java.util.Properties;
import software.amazon.awssdk.auth.credentials.AwsCredentialsProvider;
import software.amazon.awssdk.auth.credentials.DefaultCredentialsProvider;
import software.amazon.awssdk.awscore.exception.AwsServiceException;
import software.amazon.awssdk.core.exception.SdkException;
import software.amazon.awssdk.core.waiters.WaiterOverrideConfiguration;
import software.amazon.awssdk.retries.api.BackoffStrategy;
import software.amazon.awssdk.services.rds.RdsClient;
import software.amazon.awssdk.services.rds.model.DBInstance;
import software.amazon.awssdk.services.rds.waiters.RdsWaiter;
import software.amazon.awssdk.services.sts.StsClient;
import software.amazon.awssdk.services.sts.auth.StsAssumeRoleCredentialsProvider;

/**
 * The AWS SDK for Java, configured by the environment only. Runs the verbs in order, and prints one
 * line for each.
 *
 * <p>usage: Client INSTANCE VERB...
 */
public final class Client {
    private static final String USER = "app";

    private final String instance;
    private AwsCredentialsProvider credentials = DefaultCredentialsProvider.builder().build();
    // An existing server; `describe` replaces it.
    private String host = System.getenv("PGHOST");
    private int port = System.getenv("PGPORT") == null ? 0 : Integer.parseInt(System.getenv("PGPORT"));
    private String password;

    private Client(String instance) {
        this.instance = instance;
    }

    public static void main(String[] arguments) {
        Client client = new Client(arguments[0]);
        for (String verb : Arrays.asList(arguments).subList(1, arguments.length)) {
            try {
                System.out.println(verb + " " + client.does(verb));
            } catch (AwsServiceException exception) {
                end(verb + ": " + exception.awsErrorDetails().errorCode() + ": " + exception.getMessage());
            } catch (SdkException | SQLException exception) {
                end(verb + ": " + exception.getClass().getSimpleName() + ": " + exception.getMessage());
            }
        }
    }

    private static void end(String why) {
        System.err.println(why);
        System.exit(1);
    }

    private String does(String verb) throws SQLException {
        return switch (verb) {
            case "identity" -> identity();
            case "assume" -> assume();
            case "create" -> create();
            case "wait" -> waitUntilAvailable();
            case "describe" -> describe();
            case "prepare" -> prepare();
            case "token" -> token();
            case "login" -> login();
            case "delete" -> delete();
            default -> throw new IllegalArgumentException(verb);
        };
    }

    private String identity() {
        try (StsClient sts = sts()) {
            return sts.getCallerIdentity().arn();
        }
    }

    private String assume() {
        // The client stays open, since it refreshes the session before it expires.
        StsClient sts = sts();
        String role = "arn:aws:iam::" + sts.getCallerIdentity().account() + ":role/app-admin";
        credentials = StsAssumeRoleCredentialsProvider.builder()
                .stsClient(sts)
                .refreshRequest(request -> request.roleArn(role).roleSessionName("interop"))
                .build();
        return identity();
    }

    private String create() {
        try (RdsClient rds = rds()) {
            return rds.createDBInstance(request -> request
                            .dbInstanceIdentifier(instance)
                            .engine("postgres")
                            .dbInstanceClass("db.t4g.micro")
                            .allocatedStorage(20)
                            .masterUsername("master")
                            .masterUserPassword(System.getenv("MASTER_PASSWORD"))
                            .enableIAMDatabaseAuthentication(true))
                    .dbInstance()
                    .dbInstanceStatus();
        }
    }

    private String waitUntilAvailable() {
        WaiterOverrideConfiguration patience = WaiterOverrideConfiguration.builder()
                .maxAttempts(120)
                .backoffStrategyV2(BackoffStrategy.fixedDelay(Duration.ofSeconds(1)))
                .build();
        try (RdsClient rds = rds(); RdsWaiter waiter = RdsWaiter.builder().client(rds).overrideConfiguration(patience).build()) {
            waiter.waitUntilDBInstanceAvailable(request -> request.dbInstanceIdentifier(instance));
            return "available";
        }
    }

    private String describe() {
        try (RdsClient rds = rds()) {
            DBInstance found = rds.describeDBInstances(request -> request.dbInstanceIdentifier(instance)).dbInstances().get(0);
            host = found.endpoint().address();
            port = found.endpoint().port();
            return host + ":" + port + " " + found.dbiResourceId() + " iam=" + found.iamDatabaseAuthenticationEnabled();
        }
    }

    private String prepare() throws SQLException {
        try (Connection connection = connect("master", System.getenv("MASTER_PASSWORD"));
                Statement statement = connection.createStatement()) {
            statement.execute("CREATE USER " + USER);
            statement.execute("GRANT rds_iam TO " + USER);
            return USER;
        }
    }

    private String token() {
        try (RdsClient rds = rds()) {
            password = rds.utilities().generateAuthenticationToken(request ->
                    request.hostname(host).port(port).username(USER).credentialsProvider(credentials));
            return String.valueOf(password.length());
        }
    }

    private String login() throws SQLException {
        try (Connection connection = connect(USER, password);
                Statement statement = connection.createStatement();
                ResultSet found = statement.executeQuery("SELECT current_user")) {
            found.next();
            return found.getString(1);
        }
    }

    private String delete() {
        try (RdsClient rds = rds()) {
            return rds.deleteDBInstance(request -> request.dbInstanceIdentifier(instance).skipFinalSnapshot(true))
                    .dbInstance()
                    .dbInstanceStatus();
        }
    }

    private StsClient sts() {
        return StsClient.builder().credentialsProvider(credentials).build();
    }

    private RdsClient rds() {
        return RdsClient.builder().credentialsProvider(credentials).build();
    }

    private Connection connect(String user, String password) throws SQLException {
        Properties properties = new Properties();
        properties.setProperty("user", user);
        properties.setProperty("password", password);
        properties.setProperty("sslmode", "verify-full");
        properties.setProperty("sslrootcert", System.getenv("COUNTERSIGN_CA"));
        return DriverManager.getConnection("jdbc:postgresql://" + host + ":" + port + "/postgres", properties);
    }
}
