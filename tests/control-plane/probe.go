// What `up` asks while it starts things: are these ports free, does this address answer.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"
)

const answerTime = 5 * time.Second

// portsFree fails when one of the ports cannot be listened on. Arguments: the first port, how many.
func portsFree(arguments []string) error {
	if err := need(arguments, 2, 2); err != nil {
		return err
	}
	first, err := strconv.Atoi(arguments[0])
	if err != nil {
		return err
	}
	count, err := strconv.Atoi(arguments[1])
	if err != nil {
		return err
	}
	for port := first; port < first+count; port++ {
		listener, err := net.Listen("tcp4", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			return err
		}
		listener.Close()
	}
	return nil
}

// answers fails unless a GET is answered with 200. Arguments: URL, a file with the authority's certificate when it is HTTPS.
func answers(arguments []string) error {
	if err := need(arguments, 1, 2); err != nil {
		return err
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil
	if len(arguments) == 2 {
		text, err := os.ReadFile(arguments[1])
		if err != nil {
			return err
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return fmt.Errorf("no certificate in %s", arguments[1])
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots}
	}
	client := http.Client{Timeout: answerTime, Transport: transport}
	response, err := client.Get(arguments[0])
	if err != nil {
		return err
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", arguments[0], response.Status)
	}
	return nil
}
