// A git server on loopback for Flux's source-controller: git's own smart HTTP program behind CGI, read-only.
package main

import (
	"fmt"
	"net/http"
	"net/http/cgi"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const gitHeader = 10 * time.Second

// serveGit serves the repositories below a directory. Arguments: directory, address to listen on.
func serveGit(arguments []string) error {
	if err := need(arguments, 2, 2); err != nil {
		return err
	}
	programs, err := exec.Command("git", "--exec-path").Output()
	if err != nil {
		return fmt.Errorf("git --exec-path: %w", err)
	}
	server := http.Server{
		Addr:              arguments[1],
		ReadHeaderTimeout: gitHeader,
		Handler: &cgi.Handler{
			Path: filepath.Join(strings.TrimSpace(string(programs)), "git-http-backend"),
			Env: []string{
				"GIT_PROJECT_ROOT=" + arguments[0],
				"GIT_HTTP_EXPORT_ALL=1",
				// The repositories were made by whoever writes the tests: their owner is not ours in a container.
				"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*",
			},
		},
	}
	return server.ListenAndServe()
}
