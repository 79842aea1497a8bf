// The AWS SDK for Go, configured by the environment only. Runs the verbs in order, and
// prints one line for each.
//
// usage: client INSTANCE VERB...
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"
	"github.com/aws/aws-sdk-go-v2/service/rds"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/jackc/pgx/v5"
)

const user = "app"

type client struct {
	instance   string
	config     aws.Config
	host, port string
	password   string
}

func main() {
	if err := run(context.Background(), os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(ctx context.Context, instance string, verbs []string) error {
	loaded, err := config.LoadDefaultConfig(ctx)
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	// Host and port of an existing server; describe replaces them.
	c := &client{instance: instance, config: loaded, host: os.Getenv("PGHOST"), port: os.Getenv("PGPORT")}
	does := map[string]func(context.Context) (string, error){
		"identity": c.identity, "assume": c.assume, "create": c.create, "wait": c.wait, "describe": c.describe,
		"prepare": c.prepare, "token": c.token, "login": c.login, "delete": c.delete,
	}
	for _, verb := range verbs {
		said, err := does[verb](ctx)
		var refusal smithy.APIError
		if errors.As(err, &refusal) {
			return fmt.Errorf("%s: %s: %w", verb, refusal.ErrorCode(), err)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", verb, err)
		}
		fmt.Println(verb, said)
	}
	return nil
}

func (c *client) identity(ctx context.Context) (string, error) {
	found, err := sts.NewFromConfig(c.config).GetCallerIdentity(ctx, nil)
	if err != nil {
		return "", err
	}
	return *found.Arn, nil
}

func (c *client) assume(ctx context.Context) (string, error) {
	service := sts.NewFromConfig(c.config)
	found, err := service.GetCallerIdentity(ctx, nil)
	if err != nil {
		return "", err
	}
	role := "arn:aws:iam::" + *found.Account + ":role/app-admin"
	provider := stscreds.NewAssumeRoleProvider(service, role, func(options *stscreds.AssumeRoleOptions) {
		options.RoleSessionName = "interop"
	})
	c.config.Credentials = aws.NewCredentialsCache(provider)
	return c.identity(ctx)
}

func (c *client) create(ctx context.Context) (string, error) {
	created, err := rds.NewFromConfig(c.config).CreateDBInstance(ctx, &rds.CreateDBInstanceInput{
		DBInstanceIdentifier:            &c.instance,
		Engine:                          aws.String("postgres"),
		DBInstanceClass:                 aws.String("db.t4g.micro"),
		AllocatedStorage:                aws.Int32(20),
		MasterUsername:                  aws.String("master"),
		MasterUserPassword:              aws.String(os.Getenv("MASTER_PASSWORD")),
		EnableIAMDatabaseAuthentication: aws.Bool(true),
	})
	if err != nil {
		return "", err
	}
	return *created.DBInstance.DBInstanceStatus, nil
}

func (c *client) wait(ctx context.Context) (string, error) {
	waiter := rds.NewDBInstanceAvailableWaiter(rds.NewFromConfig(c.config), func(options *rds.DBInstanceAvailableWaiterOptions) {
		options.MinDelay, options.MaxDelay = time.Second, time.Second
	})
	wanted := rds.DescribeDBInstancesInput{DBInstanceIdentifier: &c.instance}
	return "available", waiter.Wait(ctx, &wanted, 2*time.Minute)
}

func (c *client) describe(ctx context.Context) (string, error) {
	wanted := rds.DescribeDBInstancesInput{DBInstanceIdentifier: &c.instance}
	answer, err := rds.NewFromConfig(c.config).DescribeDBInstances(ctx, &wanted)
	if err != nil {
		return "", err
	}
	found := answer.DBInstances[0]
	c.host, c.port = *found.Endpoint.Address, fmt.Sprint(*found.Endpoint.Port)
	iam := *found.IAMDatabaseAuthenticationEnabled
	return fmt.Sprintf("%s:%s %s iam=%t", c.host, c.port, *found.DbiResourceId, iam), nil
}

func (c *client) prepare(ctx context.Context) (string, error) {
	connection, err := c.connect(ctx, "master", os.Getenv("MASTER_PASSWORD"))
	if err != nil {
		return "", err
	}
	defer connection.Close(ctx)
	_, err = connection.Exec(ctx, "CREATE USER "+user+"; GRANT rds_iam TO "+user)
	return user, err
}

func (c *client) token(ctx context.Context) (string, error) {
	var err error
	c.password, err = auth.BuildAuthToken(ctx, net.JoinHostPort(c.host, c.port), c.config.Region, user, c.config.Credentials)
	return fmt.Sprint(len(c.password)), err
}

func (c *client) login(ctx context.Context) (string, error) {
	connection, err := c.connect(ctx, user, c.password)
	if err != nil {
		return "", err
	}
	defer connection.Close(ctx)
	var name string
	err = connection.QueryRow(ctx, "SELECT current_user").Scan(&name)
	return name, err
}

func (c *client) delete(ctx context.Context) (string, error) {
	wanted := rds.DeleteDBInstanceInput{DBInstanceIdentifier: &c.instance, SkipFinalSnapshot: aws.Bool(true)}
	deleted, err := rds.NewFromConfig(c.config).DeleteDBInstance(ctx, &wanted)
	if err != nil {
		return "", err
	}
	return *deleted.DBInstance.DBInstanceStatus, nil
}

func (c *client) connect(ctx context.Context, name, password string) (*pgx.Conn, error) {
	ca, err := os.ReadFile(os.Getenv("COUNTERSIGN_CA"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	settings, err := pgx.ParseConfig("sslmode=verify-full dbname=postgres host=" + c.host + " port=" + c.port)
	if err != nil {
		return nil, err
	}
	settings.User, settings.Password = name, password
	settings.TLSConfig = &tls.Config{RootCAs: roots, ServerName: c.host}
	return pgx.ConnectConfig(ctx, settings)
}
