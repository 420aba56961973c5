// Keys and certificates of one control plane: an authority, what serves, who asks. They live as long as its directory.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

const (
	validity      = 30 * 24 * time.Hour
	clockSkew     = 5 * time.Minute
	accountKeyRSA = 2048
	serialBits    = 127
	privateMode   = 0o600
	publicMode    = 0o644
)

// servers are names with a certificate for loopback; the API server is also what it is called inside a cluster.
var servers = []string{"apiserver", "kubelet"}

// clients are the identities that ask the API server: one each, so that an audit log tells them apart.
var clients = []pkix.Name{
	{CommonName: "admin", Organization: []string{"system:masters"}},
	{CommonName: "system:kube-controller-manager"},
	{CommonName: "system:kube-scheduler"},
	{CommonName: "kwok", Organization: []string{"system:masters"}},
	{CommonName: "flux", Organization: []string{"system:masters"}},
}

type authority struct {
	directory   string
	certificate *x509.Certificate
	key         *ecdsa.PrivateKey
}

// writeCertificates writes ca.crt, NAME.crt and NAME.key for every server and client, and accounts.key, which signs the tokens of
// service accounts. Argument: the directory.
func writeCertificates(arguments []string) error {
	if err := need(arguments, 1, 1); err != nil {
		return err
	}
	ca, err := newAuthority(arguments[0])
	if err != nil {
		return err
	}
	for _, server := range servers {
		template := x509.Certificate{
			Subject:     pkix.Name{CommonName: server},
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
			IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(10, 96, 0, 1)},
			DNSNames:    []string{"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc"},
		}
		if err := ca.issue(server, template); err != nil {
			return err
		}
	}
	for _, client := range clients {
		template := x509.Certificate{Subject: client, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
		if err := ca.issue(client.CommonName, template); err != nil {
			return err
		}
	}
	accounts, err := rsa.GenerateKey(rand.Reader, accountKeyRSA)
	if err != nil {
		return err
	}
	return writePEM(ca.path("accounts.key"), privateMode, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(accounts))
}

func newAuthority(directory string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := x509.Certificate{
		Subject:               pkix.Name{CommonName: "control-plane"},
		IsCA:                  true,
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	if err := limit(&template); err != nil {
		return nil, err
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	ca := &authority{directory: directory, certificate: certificate, key: key}
	if err := writePEM(ca.path("ca.crt"), publicMode, "CERTIFICATE", der); err != nil {
		return nil, err
	}
	// The controller that signs requests for certificates needs it too.
	return ca, writeKey(ca.path("ca.key"), key)
}

func (ca *authority) path(name string) string { return filepath.Join(ca.directory, name) }

func (ca *authority) issue(name string, template x509.Certificate) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	template.KeyUsage = x509.KeyUsageDigitalSignature
	if err := limit(&template); err != nil {
		return err
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, ca.certificate, key.Public(), ca.key)
	if err != nil {
		return err
	}
	if err := writePEM(ca.path(name+".crt"), publicMode, "CERTIFICATE", der); err != nil {
		return err
	}
	return writeKey(ca.path(name+".key"), key)
}

func limit(template *x509.Certificate) error {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), serialBits))
	if err != nil {
		return err
	}
	template.SerialNumber = serial
	template.NotBefore = time.Now().Add(-clockSkew)
	template.NotAfter = time.Now().Add(validity)
	return nil
}

func writeKey(path string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, privateMode, "PRIVATE KEY", der)
}

func writePEM(path string, mode os.FileMode, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), mode)
}
