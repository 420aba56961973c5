// One program for what a control plane is made of: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, kubectl, and the
// helpers of `up` (certificates, free ports, a question over HTTP, a git server). One name is one process: the components keep global state
// and must not share one. Called by the component's name (a link) or with the name as first argument. Knows nothing of runbooks.
package main

import (
	"fmt"
	"os"
	"path/filepath"

	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
)

// exitUsage is sysexits' EX_USAGE.
const exitUsage = 64

// components are Kubernetes' own commands. They read os.Args and end the process.
var components = map[string]func(){
	"kube-apiserver":          func() { os.Exit(cli.Run(apiserver.NewAPIServerCommand())) },
	"kube-controller-manager": func() { os.Exit(cli.Run(controllermanager.NewControllerManagerCommand())) },
	"kube-scheduler":          func() { os.Exit(cli.Run(scheduler.NewSchedulerCommand())) },
	"kubectl": func() {
		if err := cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand()); err != nil {
			kubectlutil.CheckErr(err)
		}
	},
}

// helper is a command of ours.
type helper struct {
	arguments string
	run       func(arguments []string) error
}

var helpers = map[string]helper{
	"etcd":         {"DIR CLIENT_URL PEER_URL", runEtcd},
	"git-http":     {"ROOT ADDRESS", serveGit},
	"certificates": {"DIR", writeCertificates},
	"ports-free":   {"FIRST COUNT", portsFree},
	"answers":      {"URL [CA_FILE]", answers},
}

func main() {
	name := filepath.Base(os.Args[0])
	if !known(name) {
		if len(os.Args) < 2 || !known(os.Args[1]) {
			usage()
		}
		name = os.Args[1]
		os.Args = append([]string{name}, os.Args[2:]...) // the components parse os.Args[1:]
	}
	if component, ok := components[name]; ok {
		component()
		return
	}
	command := helpers[name]
	if err := command.run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
		os.Exit(1)
	}
}

func known(name string) bool {
	_, isComponent := components[name]
	_, isHelper := helpers[name]
	return isComponent || isHelper
}

func usage() {
	fmt.Fprintln(os.Stderr, "usage: control-plane kube-apiserver|kube-controller-manager|kube-scheduler|kubectl [ARGUMENTS]")
	for name, command := range helpers {
		fmt.Fprintln(os.Stderr, "       control-plane", name, command.arguments)
	}
	os.Exit(exitUsage)
}

// need returns an error unless there are between low and high arguments.
func need(arguments []string, low, high int) error {
	if len(arguments) < low || len(arguments) > high {
		return fmt.Errorf("%d arguments are not between %d and %d", len(arguments), low, high)
	}
	return nil
}
