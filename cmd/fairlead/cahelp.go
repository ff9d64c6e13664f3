package main

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"
)

func caHelpCommand() *cobra.Command {
	var f clientFlags
	c := &cobra.Command{
		Use: "install-help", Short: "Say per system how to make clients trust the internal authority", Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			v, err := f.root(c)
			if err != nil {
				return err
			}
			return printInstallHelp(c.OutOrStdout(), v)
		},
	}
	f.add(c)
	return c
}

// ways are how systems are made to trust a root, and to forget it.
var ways = []struct{ system, install, remove string }{
	{"Debian, Ubuntu", "sudo cp fairlead-root.pem /usr/local/share/ca-certificates/fairlead.crt && sudo update-ca-certificates", "sudo rm /usr/local/share/ca-certificates/fairlead.crt && sudo update-ca-certificates --fresh"},
	{"Fedora, RHEL", "sudo cp fairlead-root.pem /etc/pki/ca-trust/source/anchors/fairlead.pem && sudo update-ca-trust", "sudo rm /etc/pki/ca-trust/source/anchors/fairlead.pem && sudo update-ca-trust"},
	{"Arch", "sudo trust anchor --store fairlead-root.pem", "sudo trust anchor --remove fairlead-root.pem"},
	{"Alpine", "cp fairlead-root.pem /usr/local/share/ca-certificates/fairlead.crt && update-ca-certificates", "rm /usr/local/share/ca-certificates/fairlead.crt && update-ca-certificates"},
	{"macOS (Safari, Chrome)", "sudo security add-trusted-cert -d -r trustRoot -k /Library/Keychains/System.keychain fairlead-root.pem", "sudo security remove-trusted-cert -d fairlead-root.pem"},
	{"Windows (Edge, Chrome), as administrator", "certutil -addstore -f Root fairlead-root.pem", "certutil -delstore Root Fairlead"},
	{"Chrome, Chromium on Linux", `certutil -d sql:$HOME/.pki/nssdb -A -t "C,," -n Fairlead -i fairlead-root.pem`, "certutil -d sql:$HOME/.pki/nssdb -D -n Fairlead"},
	{"Firefox", "Settings, Privacy & Security, View Certificates, Authorities, Import", "the same place, Delete or Distrust"},
	{"Android", "Settings, Security, Encryption & credentials, Install a certificate, CA certificate", "the same place, User credentials"},
	{"iPhone, iPad", "send yourself the file, install the profile, then Settings, General, About, Certificate Trust Settings", "Settings, General, VPN & Device Management"},
	{"curl", "curl --cacert fairlead-root.pem https://…", ""},
	{"Node.js", "export NODE_EXTRA_CA_CERTS=$PWD/fairlead-root.pem", ""},
	{"Python (requests)", "export REQUESTS_CA_BUNDLE=$PWD/fairlead-root.pem", ""},
	{"Java", "keytool -importcert -cacerts -storepass changeit -noprompt -alias fairlead -file fairlead-root.pem", "keytool -delete -cacerts -storepass changeit -alias fairlead"},
	{"a container", "mount fairlead-root.pem into it, and name it to the program as above (SSL_CERT_FILE for many)", ""},
}

// printInstallHelp says how v is installed, and what whoever installs it trusts.
func printInstallHelp(w io.Writer, v rootView) error {
	block, _ := pem.Decode([]byte(v.PEM))
	if block == nil {
		return errors.New("the proxy's answer holds no root")
	}
	root, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return fmt.Errorf("read the root: %w", err)
	}
	var nets []string
	for _, n := range root.PermittedIPRanges {
		nets = append(nets, n.String())
	}
	fmt.Fprintf(w, "%s, until %s.\n", root.Subject.CommonName, root.NotAfter.Format("2006-01-02"))
	fmt.Fprintf(w, "Whoever installs it trusts this proxy for these names and what is below them, and for no others:\n  %s\nand for these addresses:\n  %s\n", strings.Join(root.PermittedDNSDomains, ", "), strings.Join(nets, ", "))
	fmt.Fprintln(w, "\nFirst, on the proxy's machine (in a container: docker exec CONTAINER /fairlead ca):\n  fairlead ca > fairlead-root.pem")
	for _, way := range ways {
		fmt.Fprintf(w, "\n%s:\n  %s\n", way.system, way.install)
		if way.remove != "" {
			fmt.Fprintf(w, "  remove it: %s\n", way.remove)
		}
	}
	return nil
}
