package main

import (
	"fmt"
	"strings"

	"github.com/cockroachdb/datadriven"
)

// separator stands between a command with its input and the output expected of it. Two in a row open and close an
// output that has blank lines, which otherwise end it.
const separator = "----"

// script is a parsed trace: its directives, and what follows the last one (comments and blank lines).
type script struct {
	directives []directive
	tail       string
}

// directive is one command of a trace.
type directive struct {
	data     datadriven.TestData // the command, its arguments and its input
	command  string              // its line
	line     int                 // where that is, from 1
	text     string              // verbatim: the comments before it, the command and its input
	expected string
}

// parse reads a trace. An error begins with the number of its line.
func parse(content string) (*script, error) {
	lines := strings.SplitAfter(content, "\n")
	if last := len(lines) - 1; lines[last] == "" {
		lines = lines[:last]
	} else {
		lines[last] += "\n"
	}
	var s script
	begin := 0
	for i := 0; i < len(lines); {
		line := strings.TrimSpace(lines[i])
		if line == "" || line[0] == '#' {
			i++
			continue
		}
		d := directive{line: i + 1}
		for i++; strings.HasSuffix(line, `\`) && i < len(lines); i++ {
			line = strings.TrimSuffix(line, `\`) + " " + strings.TrimSpace(lines[i])
		}
		d.command = line
		var err error
		if d.data.Cmd, d.data.CmdArgs, err = datadriven.ParseLine(line); err != nil {
			return nil, fmt.Errorf("%d: %w", d.line, err)
		}
		input := i
		for i < len(lines) && !isSeparator(lines[i]) {
			i++
		}
		d.data.Input = strings.TrimSpace(strings.Join(lines[input:i], ""))
		d.text = strings.Join(lines[begin:i], "")
		if i, err = d.readExpected(lines, i+1); err != nil {
			return nil, err
		}
		s.directives = append(s.directives, d)
		begin = min(i, len(lines))
	}
	s.tail = strings.Join(lines[begin:], "")
	return &s, nil
}

func isSeparator(line string) bool {
	return strings.TrimRight(line, "\r\n") == separator
}

// readExpected reads the output that begins at lines[i] and returns where the text after it begins.
func (d *directive) readExpected(lines []string, i int) (int, error) {
	begin := i
	if i >= len(lines) || !isSeparator(lines[i]) {
		for i < len(lines) && strings.TrimSpace(lines[i]) != "" {
			i++
		}
		d.expected = strings.Join(lines[min(begin, len(lines)):min(i, len(lines))], "")
		return i + 1, nil
	}
	begin++
	for i = begin; i+1 < len(lines); i++ {
		if isSeparator(lines[i]) && isSeparator(lines[i+1]) {
			d.expected = strings.Join(lines[begin:i], "")
			if i += 2; i < len(lines) && strings.TrimSpace(lines[i]) != "" {
				return 0, fmt.Errorf("%d: a blank line must follow the end of an output with blank lines", i+1)
			}
			return i + 1, nil
		}
	}
	return 0, fmt.Errorf("%d: the output that begins here with two separators does not end", begin)
}

// truncate removes the directive of that position and everything after it.
func (s *script) truncate(at int) {
	s.directives = s.directives[:at]
	s.tail = ""
}

// String is the text of the trace, verbatim but for the outputs.
func (s *script) String() string {
	var b strings.Builder
	for i := range s.directives {
		d := &s.directives[i]
		fence := separator + "\n"
		fmt.Fprint(&b, d.text)
		if strings.Contains(d.expected, "\n\n") || strings.HasPrefix(d.expected, "\n") {
			fence += separator + "\n"
			fmt.Fprint(&b, fence, d.expected, "\n", fence)
		} else {
			fmt.Fprint(&b, fence, d.expected, "\n")
		}
		if i+1 < len(s.directives) || s.tail != "" {
			b.WriteByte('\n')
		}
	}
	b.WriteString(s.tail)
	return b.String()
}
