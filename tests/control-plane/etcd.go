// etcd with one member on loopback. The data is disposable: nothing is synced to the disk.
package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/signal"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
)

const etcdStart = 60 * time.Second

// runEtcd serves until it is told to end. Arguments: data directory, client URL, peer URL.
func runEtcd(arguments []string) error {
	if err := need(arguments, 3, 3); err != nil {
		return err
	}
	client, err := url.Parse(arguments[1])
	if err != nil {
		return err
	}
	peer, err := url.Parse(arguments[2])
	if err != nil {
		return err
	}
	config := embed.NewConfig()
	config.Dir = arguments[0]
	config.ListenClientUrls, config.AdvertiseClientUrls = []url.URL{*client}, []url.URL{*client}
	config.ListenPeerUrls, config.AdvertisePeerUrls = []url.URL{*peer}, []url.URL{*peer}
	config.InitialCluster = config.InitialClusterFromName(config.Name)
	config.UnsafeNoFsync = true
	config.LogLevel = "error"

	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGINT, syscall.SIGTERM)
	etcd, err := embed.StartEtcd(config)
	if err != nil {
		return err
	}
	defer etcd.Close()
	select {
	case <-etcd.Server.ReadyNotify():
		fmt.Println("etcd: ready")
	case <-time.After(etcdStart):
		return fmt.Errorf("not ready after %s", etcdStart)
	case <-stop:
		return errors.New("told to end before it was ready")
	}
	select {
	case err := <-etcd.Err():
		return err
	case <-stop:
		return nil
	}
}
