// go-sql-driver/mysql: allowCleartextPasswords permits a cleartext password.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"database/sql"
	"fmt"
	"net"
	"os"

	"github.com/go-sql-driver/mysql"
)

func main() {
	if err := login(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func login() error {
	config := mysql.NewConfig()
	config.Net = "tcp"
	config.Addr = net.JoinHostPort(os.Getenv("MYSQL_HOST"), os.Getenv("MYSQL_TCP_PORT"))
	config.User = os.Getenv("MYSQL_USER")
	config.Passwd = os.Getenv("MYSQL_PWD")
	config.DBName = os.Getenv("MYSQL_DATABASE")
	config.AllowCleartextPasswords = true
	if os.Getenv("INTEROP_PLAIN") == "" {
		ca, err := os.ReadFile(os.Getenv("MYSQL_SSL_CA"))
		if err != nil {
			return err
		}
		roots := x509.NewCertPool()
		roots.AppendCertsFromPEM(ca)
		config.TLS = &tls.Config{RootCAs: roots, ServerName: os.Getenv("MYSQL_HOST")}
	}
	connector, err := mysql.NewConnector(config)
	if err != nil {
		return err
	}
	db := sql.OpenDB(connector)
	defer db.Close()

	var user, name, version string
	if err := db.QueryRow("SELECT CURRENT_USER()").Scan(&user); err != nil {
		return err
	}
	if err := db.QueryRow("SHOW SESSION STATUS LIKE 'Ssl_version'").Scan(&name, &version); err != nil {
		return err
	}
	fmt.Println(user, version)
	return nil
}
