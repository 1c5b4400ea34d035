// Command jailer starts QEMU so that an escape from the guest into it finds as little as possible.
//
//	jailer [options] -- PROGRAM [ARGUMENT...]
//
// It removes all rights that the options do not grant, and replaces itself by the program, which keeps the process id,
// the working directory and the environment. Without -uid, on hosts where the platform does not run as root, user, file
// system and network stay as they are. Exit status 125 means that the jailer itself failed; the reason is on standard
// error.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
)

// The usual exit status of a wrapper that failed itself.
const ownFailure = 125

type options struct {
	uid           int
	network       string
	tap           string
	tapDescriptor int
	kvm           string
	descriptors   descriptorList
	listeners     listenerList
	internet      bool
	dieWithParent bool
	fileBytes     uint64
	files         uint64
}

// descriptorList is a flag: numbers, separated by commas.
type descriptorList []int

func (list *descriptorList) String() string { return fmt.Sprint([]int(*list)) }

func (list *descriptorList) Set(text string) error {
	for _, word := range strings.Split(text, ",") {
		number, err := strconv.Atoi(word)
		if err != nil || number < 0 {
			return fmt.Errorf("%q is no descriptor", word)
		}
		*list = append(*list, number)
	}
	return nil
}

func init() {
	// Namespaces, users and filters belong to a thread; the thread that starts the program passes them on.
	runtime.LockOSThread()
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "jailer: %v\n", err)
		os.Exit(ownFailure)
	}
}

func run(arguments []string) error {
	given, command, err := parse(arguments)
	if err != nil {
		return err
	}
	if err := closeOthers(given.descriptors); err != nil {
		return err
	}
	for _, wanted := range given.listeners {
		if err := listen(wanted); err != nil {
			return err
		}
	}
	if given.uid > 0 {
		if err := enter(given); err != nil {
			return err
		}
	}
	if err := setLimits(given); err != nil {
		return err
	}
	if given.uid > 0 {
		if err := become(given.uid); err != nil {
			return err
		}
	}
	if given.dieWithParent {
		// After the change of user, which would undo it.
		if err := prctl(syscall.PR_SET_PDEATHSIG, uintptr(syscall.SIGKILL), 0); err != nil {
			return fmt.Errorf("cannot ask to end with the parent: %w", err)
		}
	}
	if err := prctl(prSetNoNewPrivileges, 1, 0); err != nil {
		return fmt.Errorf("cannot forbid new privileges: %w", err)
	}
	if err := installFilter(given.internet); err != nil {
		return err
	}
	return fmt.Errorf("cannot start %s: %w", command[0], syscall.Exec(command[0], command, os.Environ()))
}

func parse(arguments []string) (options, []string, error) {
	var given options
	flags := flag.NewFlagSet("jailer", flag.ContinueOnError)
	flags.IntVar(&given.uid, "uid", 0, "user and group to become; needs root")
	flags.StringVar(&given.network, "network", "", "path of the network namespace to join; needs -uid")
	flags.StringVar(&given.tap, "tap", "", "name of a tap device in the network namespace to open")
	flags.IntVar(&given.tapDescriptor, "tap-descriptor", -1, "descriptor that the program finds the tap device at")
	flags.StringVar(&given.kvm, "kvm", "", "device of which the program gets a node of its own at /dev/kvm; needs -uid")
	flags.Var(&given.descriptors, "descriptors", "descriptors above 2 that the program keeps, with commas in between")
	flags.Var(&given.listeners, "listen",
		"unix sockets to make and the descriptors that the program finds them at, PATH:DESCRIPTOR with commas in between")
	flags.BoolVar(&given.internet, "internet", false, "allow sockets of the internet protocols, and what names the name servers")
	flags.BoolVar(&given.dieWithParent, "die-with-parent", false, "kill the program when the parent ends")
	flags.Uint64Var(&given.fileBytes, "file-bytes", 0, "size that no file may grow beyond; 0 is any")
	flags.Uint64Var(&given.files, "files", 4096, "number of descriptors that may be open")
	if err := flags.Parse(arguments); err != nil {
		return given, nil, err
	}
	command := flags.Args()
	switch {
	case len(command) == 0 || !strings.HasPrefix(command[0], "/"):
		return given, nil, errors.New("the path of a program is needed after the options, from the root on")
	case given.uid < 0:
		return given, nil, fmt.Errorf("%d is no user", given.uid)
	case given.uid == 0 && (given.network != "" || given.kvm != "" || given.tap != ""):
		return given, nil, errors.New("-network, -tap and -kvm need -uid")
	case (given.tap == "") != (given.tapDescriptor < 0):
		return given, nil, errors.New("-tap and -tap-descriptor need each other")
	}
	return given, command, nil
}
