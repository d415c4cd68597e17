// Shares of a vCPU's, or a group's, time in an interval of a run: the data of the lanes of the expert view.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const MOST_LANES = 8;
  const FULL = 255;
  // Indices in a lane's shares.
  S.LANE_PARTS = ["fault", "lock", "away", "slow", "run"];
  const PARTS = S.LANE_PARTS.length;
  const RUN = PARTS - 1;
  // A Recording rounds shares to 1/255, so a rest of this size may be a rounding error.
  const GRAIN = 4 / FULL;

  // Groups of vCPUs, [first, end): up to eight vCPUs one each, else eight groups of about equal size.
  S.laneGroups = function (vcpus) {
    const lanes = Math.min(vcpus, MOST_LANES);
    return Array.from({ length: lanes }, (_, lane) =>
      [Math.floor((lane * vcpus) / lanes), Math.floor(((lane + 1) * vcpus) / lanes)]);
  };

  // The share of running time by which writes were slower in a bin; a Recording has it for all vCPUs together.
  function slowShare(run, bin, running) {
    const width = run.framePs(bin + 1) - run.framePs(bin);
    const slow = width ? run.tables.bins.slow_write_ps[bin] / (run.vcpus * width) : 0;
    return running > 0 ? Math.min(1, slow / running) : 0;
  }

  class LaneShares {
    constructor(run) {
      this.run = run;
      this.groups = S.laneGroups(run.vcpus);
      // Cumulative times by part: a row of parts at each bin edge, for each lane.
      this.sums = this.groups.map(() => new Float64Array((run.bins + 1) * PARTS));
      for (let bin = 0; bin < run.bins; bin += 1) {
        this.addBin(bin);
      }
      this.enableBin = run.enablePs === null ? -1 : run.binAt(run.enablePs);
      this.corners = this.groups.map((_, lane) => this.cornerOf(lane));
    }

    addBin(bin) {
      const { run } = this;
      const { shares } = run.tables.vcpu_bins;
      const width = run.framePs(bin + 1) - run.framePs(bin);
      let all = 0;
      for (let vcpu = 0; vcpu < run.vcpus; vcpu += 1) {
        all += shares[4 * (bin * run.vcpus + vcpu)];
      }
      const slowed = slowShare(run, bin, all / (FULL * run.vcpus));
      this.groups.forEach(([first, end], lane) => {
        const own = [0, 0, 0, 0];
        for (let vcpu = first; vcpu < end; vcpu += 1) {
          for (let share = 0; share < 4; share += 1) {
            own[share] += shares[4 * (bin * run.vcpus + vcpu) + share] / (FULL * (end - first));
          }
        }
        const [running, fault, lock, away] = own;
        [fault, lock, away, running * slowed, running * (1 - slowed)].forEach((share, part) => {
          const sums = this.sums[lane];
          sums[(bin + 1) * PARTS + part] = sums[bin * PARTS + part] + share * width;
        });
      });
    }

    // Parts caused by logging: in the bin of the first enable they rise only from the call on, since they cannot precede
    // it. null if there are none, or if they would not fit into the rest of the bin.
    cornerOf(lane) {
      const { run, enableBin: bin } = this;
      if (bin < 1) {
        return null;
      }
      const tookIn = (each, part) => this.sums[lane][(each + 1) * PARTS + part] - this.sums[lane][each * PARTS + part];
      const begins = [0, 1, 2, 3].map((part) => tookIn(bin, part) > 0 && tookIn(bin - 1, part) === 0);
      const took = begins.reduce((sum, begun, part) => sum + (begun ? tookIn(bin, part) : 0), 0);
      const fits = took <= run.framePs(bin + 1) - run.enablePs;
      return fits && begins.includes(true) ? begins : null;
    }

    // Time of each part from the start to an instant.
    timesAt(lane, ps, out = new Float64Array(PARTS)) {
      const { run } = this;
      const sums = this.sums[lane];
      const bin = run.binAt(ps);
      const at = bin * PARTS;
      const share = run.shareOf(bin, ps);
      for (let part = 0; part < PARTS; part += 1) {
        out[part] = sums[at + part] + (sums[at + PARTS + part] - sums[at + part]) * share;
      }
      if (bin === this.enableBin && this.corners[lane]) {
        const late = run.shareOf(bin, ps, run.enablePs);
        this.corners[lane].forEach((begins, part) => {
          const moved = begins ? (sums[at + PARTS + part] - sums[at + part]) * (late - share) : 0;
          out[part] += moved;
          out[RUN] -= moved;
        });
      }
      return out;
    }

    // Shares of a lane in [from, to), by part; the rest to 1 was spent in userspace without waiting.
    of(lane, from, to, out = new Float64Array(PARTS)) {
      this.timesAt(lane, from, out);
      const after = this.timesAt(lane, to);
      for (let part = 0; part < PARTS; part += 1) {
        out[part] = to > from ? (after[part] - out[part]) / (to - from) : 0;
      }
      return out;
    }

    // The same in the bin of an instant, and averaged over all vCPUs.
    now(ps) {
      const bin = this.run.binAt(ps);
      const [from, to] = [this.run.framePs(bin), this.run.framePs(bin + 1)];
      const sum = new Float64Array(S.LANE_PARTS.length);
      this.groups.forEach(([first, end], lane) => {
        this.of(lane, from, to).forEach((share, part) => {
          sum[part] += (share * (end - first)) / this.run.vcpus;
        });
      });
      return sum;
    }

    name(lane) {
      const [first, end] = this.groups[lane];
      return end - first === 1 ? `vCPU ${first}` : `vCPUs ${first} to ${end - 1}`;
    }
  }

  S.LaneShares = LaneShares;

  // Shares as integer percents, followed by the rest to 100: time in userspace. The largest remainders are rounded up,
  // so that they add up to 100.
  S.wholePercents = function (shares) {
    const sum = shares.reduce((all, share) => all + share, 0);
    const whole = sum > 1 - GRAIN ? Array.from(shares, (share) => share / sum) : Array.from(shares);
    const each = [...whole, Math.max(0, 1 - whole.reduce((all, share) => all + share, 0))];
    const floors = each.map((share) => Math.floor(100 * share + 1e-9));
    const order = floors.map((floor, at) => [100 * each[at] - floor, at]).sort((a, b) => b[0] - a[0]);
    const left = 100 - floors.reduce((all, floor) => all + floor, 0);
    for (let at = 0; at < left; at += 1) {
      floors[order[at][1]] += 1;
    }
    return floors;
  };

  // The end of splitting is estimated inside a bin, as in the sentence.
  function splitExactly(run, call, parts) {
    const found = parts.length === 2 && parts[0].walk === "split" ? S.callParts(run, call) : null;
    if (found) {
      parts[0].endPs = parts[1].startPs = call.startPs + found.splitPs;
    }
  }

  // Parts of the ioctl thread's calls, from bin to bin: {call, startPs, endPs, walk}.
  S.ioctlParts = function (run) {
    const { walk } = run.tables.bins;
    const names = run.header.vocabularies.walks;
    return run.calls.flatMap((call) => {
      const parts = [];
      const bins = walk ? run.binAt(call.endPs) - run.binAt(call.startPs) : 0;
      for (let bin = run.binAt(call.startPs); bins > 0 && bin <= run.binAt(call.endPs); bin += 1) {
        const kind = names[walk[bin]];
        const [startPs, endPs] = [Math.max(call.startPs, run.framePs(bin)), Math.min(call.endPs, run.framePs(bin + 1))];
        const last = parts.at(-1);
        // The bin in which a call ends has no walk of it, and belongs to the part before.
        if (last && (last.walk === kind || kind === "none" || endPs === call.endPs)) {
          last.endPs = endPs;
        } else if (endPs > startPs) {
          parts.push({ call, startPs, endPs, walk: kind });
        }
      }
      splitExactly(run, call, parts);
      return parts.length ? parts : [{ call, startPs: call.startPs, endPs: call.endPs, walk: "none" }];
    });
  };
})();
