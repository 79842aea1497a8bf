import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.GeneralSecurityException;
import java.security.KeyStore;
import java.security.cert.CertificateFactory;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.util.Map;
import java.util.Properties;

/**
 * MySQL Connector/J: sends a cleartext password if the server requests it, only over TLS. It does
 * not read PEM: the CA is in a key store.
 */
public final class MySql {
    private static final String PASSWORD = "changeit";

    public static void main(String[] arguments) throws IOException, GeneralSecurityException {
        Map<String, String> env = System.getenv();
        Properties properties = new Properties();
        properties.setProperty("user", env.get("MYSQL_USER"));
        properties.setProperty("password", env.get("MYSQL_PWD"));
        if (env.containsKey("INTEROP_PLAIN")) {
            properties.setProperty("sslMode", "DISABLED");
        } else {
            properties.setProperty("sslMode", "VERIFY_IDENTITY");
            properties.setProperty("trustCertificateKeyStoreType", "PKCS12");
            properties.setProperty("trustCertificateKeyStoreUrl", trustStore(Path.of(env.get("MYSQL_SSL_CA"))).toUri().toString());
            properties.setProperty("trustCertificateKeyStorePassword", PASSWORD);
        }
        String url = "jdbc:mysql://" + env.get("MYSQL_HOST") + ":" + env.get("MYSQL_TCP_PORT") + "/" + env.get("MYSQL_DATABASE");
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

    /** Creates the same file as `keytool -importcert -file ca.pem -keystore trust.p12`. */
    private static Path trustStore(Path ca) throws IOException, GeneralSecurityException {
        KeyStore store = KeyStore.getInstance("PKCS12");
        store.load(null, null);
        try (InputStream pem = Files.newInputStream(ca)) {
            store.setCertificateEntry("rds", CertificateFactory.getInstance("X.509").generateCertificate(pem));
        }
        Path file = Files.createTempFile("trust", ".p12");
        file.toFile().deleteOnExit();
        try (OutputStream out = Files.newOutputStream(file)) {
            store.store(out, PASSWORD.toCharArray());
        }
        return file;
    }
}
