package main

import (
	"errors"
	"fmt"
	"testing"

	"github.com/cockroachdb/datadriven"
	"go.etcd.io/raft/v3/confchange"
	"go.etcd.io/raft/v3/quorum"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
)

// configurations applies changes to one configuration: simple, enter-joint [autoleave=BOOL], leave-joint.
type configurations struct {
	changer confchange.Changer
}

func newConfigurations() *configurations {
	return &configurations{confchange.Changer{Tracker: tracker.MakeProgressTracker(10, 0)}}
}

func (h *configurations) handle(t *testing.T, d datadriven.TestData) string {
	// Counts failed commands too, so that a Progress shows by its next index which command made it.
	defer func() { h.changer.LastIndex++ }()
	config, progress, err := h.change(t, d)
	if err != nil {
		return err.Error()
	}
	h.changer.Tracker.Config, h.changer.Tracker.Progress = config, progress
	return fmt.Sprintf("%s\n%s", config, progress)
}

func (*configurations) interrupt() {}

func (*configurations) misuse(datadriven.TestData) string { return "" }

func (h *configurations) change(t *testing.T, d datadriven.TestData) (c tracker.Config, p tracker.ProgressMap, err error) {
	changes, err := raftpb.ConfChangesFromString(d.Input)
	if err != nil {
		return c, p, err
	}
	switch d.Cmd {
	case "simple":
		return h.changer.Simple(changes...)
	case "enter-joint":
		var autoLeave bool
		if len(d.CmdArgs) > 0 {
			d.ScanArgs(t, "autoleave", &autoLeave)
		}
		return h.changer.EnterJoint(autoLeave, changes...)
	case "leave-joint":
		if len(changes) > 0 {
			return c, p, errors.New("this command takes no input")
		}
		return h.changer.LeaveJoint()
	}
	return c, p, errors.New("unknown command")
}

// quorums asks what a configuration has committed or elected, without state:
// committed cfg=(IDS) [cfgj=(IDS)|cfgj=zero] idx=(INDEXES), vote with votes=(y, n or _) instead.
// The answers are in the order of the ids of both halves, each id once; _ is no answer.
type quorums struct{}

type acknowledged map[uint64]quorum.Index

func (a acknowledged) AckedIndex(voter uint64) (quorum.Index, bool) {
	index, ok := a[voter]
	return index, ok
}

func (quorums) handle(t *testing.T, d datadriven.TestData) string {
	config := quorum.JointConfig{{}, {}}
	var order []uint64
	var answers []string
	for _, arg := range d.CmdArgs {
		switch arg.Key {
		case "cfg":
			order = append(order, scanVoters(t, arg, config[0])...)
		case "cfgj":
			if len(arg.Vals) != 1 || arg.Vals[0] != "zero" {
				order = append(order, scanVoters(t, arg, config[1])...)
			}
		default:
			answers = append(answers, arg.Vals...)
		}
	}
	voters := config.IDs()
	if len(answers) != len(voters) {
		return fmt.Sprintf("error: mismatched input (explicit or _) for voters %v: %v", voters, answers)
	}
	indexes, votes := acknowledged{}, map[uint64]bool{}
	for _, id := range order {
		if _, unseen := voters[id]; !unseen {
			continue
		}
		delete(voters, id)
		answer := answers[0]
		answers = answers[1:]
		if answer == "_" {
			continue
		}
		if d.Cmd == "vote" {
			votes[id] = answer == "y"
		} else {
			var index uint64
			scan(t, answer, &index)
			indexes[id] = quorum.Index(index)
		}
	}
	if d.Cmd == "vote" {
		return config.VoteResult(votes).String()
	}
	return config.Describe(indexes) + config.CommittedIndex(indexes).String()
}

func (quorums) interrupt() {}

func (quorums) misuse(datadriven.TestData) string { return "" }

func scanVoters(t *testing.T, arg datadriven.CmdArg, half quorum.MajorityConfig) []uint64 {
	ids := make([]uint64, len(arg.Vals))
	for i := range arg.Vals {
		arg.Scan(t, i, &ids[i])
		half[ids[i]] = struct{}{}
	}
	return ids
}

func scan(t *testing.T, text string, into *uint64) {
	datadriven.CmdArg{Vals: []string{text}}.Scan(t, 0, into)
}
