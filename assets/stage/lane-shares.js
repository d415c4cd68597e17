// How each vCPU, or each group of vCPUs, spent any stretch of a run: what the lanes of the expert view draw.
"use strict";

(function () {
  const S = (window.mmuvizStage = window.mmuvizStage || {});

  const MOST_LANES = 8;
  const FULL = 255;
  // Places in a lane's shares.
  S.LANE_PARTS = ["fault", "lock", "away", "slow", "run"];

  // Groups of vCPUs, [first, end): one vCPU each up to eight, else eight groups as equal as can be.
  S.laneGroups = function (vcpus) {
    const lanes = Math.min(vcpus, MOST_LANES);
    return Array.from({ length: lanes }, (_, lane) =>
      [Math.floor((lane * vcpus) / lanes), Math.floor(((lane + 1) * vcpus) / lanes)]);
  };

  // By which share of its running time the guest was slowed in a bin: a Recording says so for all vCPUs together.
  function slowShare(run, bin, running) {
    const width = run.framePs(bin + 1) - run.framePs(bin);
    const slow = width ? run.tables.bins.slow_write_ps[bin] / (run.vcpus * width) : 0;
    return running > 0 ? Math.min(1, slow / running) : 0;
  }

  class LaneShares {
    constructor(run) {
      this.run = run;
      this.groups = S.laneGroups(run.vcpus);
      // Times by part, bins and lanes, summed from the start: [lane][part][bin].
      this.sums = this.groups.map(() => S.LANE_PARTS.map(() => new Float64Array(run.bins + 1)));
      for (let bin = 0; bin < run.bins; bin += 1) {
        this.addBin(bin);
      }
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
          const sums = this.sums[lane][part];
          sums[bin + 1] = sums[bin] + share * width;
        });
      });
    }

    // Shares of [from, to) of a lane, by part; what is left of 1 was spent in userspace, waiting for nothing.
    of(lane, from, to, out = new Float64Array(S.LANE_PARTS.length)) {
      const { run } = this;
      const [first, last] = [run.binAt(from), run.binAt(Math.max(from, to - 1))];
      this.sums[lane].forEach((sums, part) => {
        const at = (ps, bin) => sums[bin] + (sums[bin + 1] - sums[bin]) * run.shareOf(bin, ps);
        out[part] = to > from ? (at(to, last) - at(from, first)) / (to - from) : 0;
      });
      return out;
    }

    // The same of the bin that an instant lies in, and averaged over all vCPUs.
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

  // Shares as whole percents that add up to what they are together: the largest remainders are rounded up.
  S.wholePercents = function (shares) {
    const floors = Array.from(shares, (share) => Math.floor(100 * share + 1e-9));
    const total = Math.round(100 * shares.reduce((sum, share) => sum + share, 0));
    const order = floors.map((floor, at) => [100 * shares[at] - floor, at]).sort((a, b) => b[0] - a[0]);
    for (let left = total - floors.reduce((sum, floor) => sum + floor, 0), at = 0; left > 0; left -= 1, at += 1) {
      floors[order[at % order.length][1]] += 1;
    }
    return floors;
  };

  // What the ioctl thread did over a run: {call, startPs, endPs, walk}, a part of a call from bin to bin.
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
        // The bin in which a call ends says nothing of it: it belongs to the part before.
        if (last && (last.walk === kind || kind === "none" || endPs === call.endPs)) {
          last.endPs = endPs;
        } else if (endPs > startPs) {
          parts.push({ call, startPs, endPs, walk: kind });
        }
      }
      return parts.length ? parts : [{ call, startPs: call.startPs, endPs: call.endPs, walk: "none" }];
    });
  };
})();
