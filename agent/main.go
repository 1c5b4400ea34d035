// Command agent is the guest half of a sandbox: it serves the agent protocol
// (HTTP/2, version 1) on a virtio-serial port, or on a socket for tests.
package main

import (
	"flag"
	"io"
	"log"
	"os"
	"runtime/debug"
	"syscall"

	"opencomputer.dev/agent/internal/cgroup"
	"opencomputer.dev/agent/internal/egress"
	"opencomputer.dev/agent/internal/identity"
	"opencomputer.dev/agent/internal/logs"
	"opencomputer.dev/agent/internal/pid1"
	"opencomputer.dev/agent/internal/server"
	"opencomputer.dev/agent/internal/session"
	"opencomputer.dev/agent/internal/transport"
)

type options struct {
	portName string
	listen   string
	initKind string
	root     string
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("agent: ")
	opts := options{}
	flag.StringVar(&opts.portName, "port", "opencomputer.agent", "name of the virtio-serial port to serve")
	flag.StringVar(&opts.listen, "listen", "", "serve a socket instead of the port: unix:PATH or tcp:HOST:PORT; the machine's identity is then left alone")
	flag.StringVar(&opts.initKind, "init", "systemd", "what PID 1 is, reported by the handshake: systemd or agent")
	flag.StringVar(&opts.root, "root", "", "with -listen: directory whose etc/ receives identity files")
	flag.Parse()

	if os.Getpid() == 1 {
		pid1.Run()
		return
	}
	if err := run(opts); err != nil {
		log.Fatal(err)
	}
}

func run(opts options) error {
	// A small heap is collected early so that an idle agent stays small: memory of
	// the sandbox is worth more than the time of a collection.
	debug.SetGCPercent(50)
	syscall.Umask(0o022)

	logBuffer := &logs.Buffer{}
	config := server.Config{
		InitKind: opts.initKind,
		Sessions: session.NewTable(cgroup.Open(), logBuffer),
		Logs:     logBuffer,
	}
	log.SetOutput(io.MultiWriter(identity.WakingJournal{Out: os.Stderr, Socket: identity.JournalSocket}, logBuffer))
	if opts.listen == "" {
		if err := (identity.OwnMachine{}).PrepareBootID(); err != nil {
			log.Printf("identity: forks will have the same boot id: %v", err)
		}
		config.Identity = identity.New(identity.OwnMachine{}, "/")
		config.Egress = egress.New("/")
		session.ProtectFromOOM()
		agent := server.New(config)
		return agent.Serve(transport.ListenPort(opts.portName, agent.Quiesced))
	}
	listener, err := transport.ListenSocket(opts.listen)
	if err != nil {
		return err
	}
	log.Printf("serving %s; clock, entropy and hostname are not touched", opts.listen)
	config.Identity = identity.New(nil, opts.root)
	config.Egress = egress.New(opts.root)
	return server.New(config).Serve(listener)
}
