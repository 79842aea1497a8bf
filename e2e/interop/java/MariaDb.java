import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Map;
import java.util.Properties;

/** MariaDB Connector/J: sends a cleartext password if the server requests it, only over TLS. */
public final class MariaDb {
    public static void main(String[] arguments) {
        Map<String, String> env = System.getenv();
        Properties properties = new Properties();
        properties.setProperty("user", env.get("MYSQL_USER"));
        properties.setProperty("password", env.get("MYSQL_PWD"));
        if (env.containsKey("INTEROP_PLAIN")) {
            properties.setProperty("sslMode", "disable");
        } else {
            properties.setProperty("sslMode", "verify-full");
            properties.setProperty("serverSslCert", env.get("MYSQL_SSL_CA"));
        }
        String url = "jdbc:mariadb://" + env.get("MYSQL_HOST") + ":" + env.get("MYSQL_TCP_PORT") + "/" + env.get("MYSQL_DATABASE");
        try (Connection connection = DriverManager.getConnection(url, properties); Statement statement = connection.createStatement()) {
            ResultSet user = statement.executeQuery("SELECT CURRENT_USER()");
            user.next();
            String name = user.getString(1);
            ResultSet version = statement.executeQuery("SHOW SESSION STATUS LIKE 'Ssl_version'");
            version.next();
            System.out.println(name + " " + version.getString(2));
        } catch (SQLException exception) {
            Throwable cause = exception;
            while (cause.getCause() != null) {
                cause = cause.getCause();
            }
            System.err.println(exception.getErrorCode() + " " + exception.getMessage() + " " + cause.getMessage());
            System.exit(1);
        }
    }
}
