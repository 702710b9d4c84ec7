"""The rules of `net/spreading.py` for all nodes at once, one short window of time after the other.

What a router decides item by item is decided here for all items that come in a window:
accept the first of each, push on to listeners, announce to others, ask for what was
announced and did not come, choose whoever brought it. Numbers and times are those of
`limits/spreading.py`. Left out is what only floods and liars meet: limits of queues and rates.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from p2pgrid.limits.spreading import (
    GOSSIP_ANNOUNCE_SECONDS,
    GOSSIP_FLUSH_SECONDS,
    GOSSIP_LISTENERS_MAX,
    GOSSIP_PROMOTION_SECONDS,
    GOSSIP_PULL_SECONDS,
    GOSSIP_REPEAT_PULL_SECONDS,
)
from p2pgrid.simulation.array_grid import ArrayGrid
from p2pgrid.simulation.array_links import Column
from p2pgrid.simulation.array_order import by_number, by_time, first_of_each
from p2pgrid.simulation.array_reach import Reach
from p2pgrid.simulation.array_records import (
    ASKED,
    GAVE,
    HELD,
    KNOWS,
    OFFERED,
    REQUESTED,
    SEEN,
    TOLD,
    WANTED,
)
from p2pgrid.simulation.array_sizes import Sizes
from p2pgrid.simulation.array_timetable import Timetable
from p2pgrid.simulation.array_wires import ArrayWires


class ArraySpreading:
    """Records on their way through the grid. Events are (slot of the record, edge, time)."""

    def __init__(
        self, grid: ArrayGrid, sizes: Sizes, reach: Reach, random: np.random.Generator
    ) -> None:
        self._grid, self._links, self._sizes, self._reach = grid, grid.links, sizes, reach
        self._window = 0
        self._records = grid.records
        self.wires = ArrayWires(grid, random)
        self._pushes = Timetable(2)
        self._offers = Timetable(2)
        self._requests = Timetable(2)
        self._waiting = Timetable(2)
        """Pushes that wait for the next flush of their edge."""
        self._news = Timetable(2)
        """(slot, node): to be announced then."""
        self._due = Timetable(2)
        """(slot, node): to be asked for then, if it has not come."""
        self._grafts = Timetable(1)
        """Edges on which something is to be pushed from then on."""
        self._prunes = Timetable(1)
        self.copies = 0
        self._rules: tuple[tuple[Timetable, Callable[..., None]], ...] = (
            (self._grafts, partial(self._agree, is_listener=True)),
            (self._prunes, partial(self._agree, is_listener=False)),
            (self._pushes, self._take),
            (self._offers, self._hear),
            (self._requests, self._give),
            (self._due, self._ask),
            (self._news, self._announce),
            (self._waiting, self._flush),
        )

    def publish(self, slot: int, node: int, at: float) -> None:
        """A node tells all its peers of a record of its own."""
        records, author = self._records, np.array([node])
        _, edges = self._links.edges_of(author)
        slots, times = np.full(len(edges), slot), np.full(len(edges), at, np.float32)
        records.state[records.at_node(slots[:1], author)] = SEEN | HELD | TOLD
        records.knowledge[records.on_edge(slots, edges)] = KNOWS
        self._reach.hold(slots[:1], author, times[:1])
        self._send_pushes(slots, edges, times)

    def step(self, window: int) -> None:
        """Do everything that happens in a window."""
        self._window = window
        for events, rule in self._rules:
            found = events.take(window)
            if len(found[0]):
                rule(*found)

    # --- items that come --------------------------------------------------------------------------

    def _take(self, at: Column, slot: Column, edge: Column) -> None:
        """Pushes arrive: the first of each record is accepted, and goes on."""
        grid, links, records = self._grid, self._links, self._records
        receiver = links.target[edge]
        pair = records.at_node(slot, receiver)
        mark = records.on_edge(slot, links.back[edge])
        unseen = np.flatnonzero(records.state[pair] & SEEN == 0)
        first = unseen[first_of_each(pair[unseen], at[unseen])]
        records.knowledge[mark[first]] |= KNOWS | GAVE
        before = records.state[pair[first]]
        records.state[pair[first]] = before | SEEN | HELD
        slot_of, node_of, time_of = slot[first], receiver[first], at[first]
        is_new = before & HELD == 0  # what a pull has brought is passed on all the same
        self._reach.hold(slot_of[is_new], node_of[is_new], time_of[is_new])
        grid.first_at[links.back[edge[first]]] = time_of
        self._promote(edge[first[before & ASKED != 0]], time_of[before & ASKED != 0])
        self._pass_on(slot_of, node_of, time_of)
        records.knowledge[mark] |= KNOWS | GAVE

    def _pass_on(self, slot: Column, node: Column, at: Column) -> None:
        grid, records = self._grid, self._records
        owner, edges = self._links.edges_of(node)
        is_listener = grid.is_listener[edges]
        owner, edges = owner[is_listener], edges[is_listener]
        mark = records.on_edge(slot[owner], edges)
        is_to_hear = records.knowledge[mark] & KNOWS == 0
        owner, edges = owner[is_to_hear], edges[is_to_hear]
        records.knowledge[mark[is_to_hear]] |= KNOWS
        self._push(slot[owner], edges, at[owner])
        order = by_time(at)[::-1]  # of several in one window the earliest counts
        begins = order[grid.announce_at[node[order]] < at[order]]
        grid.announce_at[node[begins]] = at[begins] + np.float32(GOSSIP_ANNOUNCE_SECONDS)
        self._news.put(self._window, grid.announce_at[node], slot, node)

    def _push(self, slot: Column, edge: Column, at: Column) -> None:
        """Queue on edges; at once where nothing was sent lately."""
        grid, pause = self._grid, np.float32(GOSSIP_FLUSH_SECONDS)
        order = by_time(at)
        slot, edge, at = slot[order], edge[order], at[order]
        last = grid.flush_at[edge]
        idle = np.flatnonzero(last + pause <= at)
        leader = self.wires.firsts(edge[idle])
        is_now = leader == np.arange(len(idle))
        goes_at = np.where(at < last, last, last + pause)
        goes_at[idle] = np.where(is_now, at[idle], at[idle[leader]] + pause)
        np.maximum.at(grid.flush_at, edge, goes_at)
        self._send_pushes(slot[idle[is_now]], edge[idle[is_now]], at[idle[is_now]])
        waits = np.ones(len(edge), bool)
        waits[idle[is_now]] = False
        self._waiting.put(self._window, goes_at[waits], slot[waits], edge[waits])

    def _flush(self, at: Column, slot: Column, edge: Column) -> None:
        """What has waited goes, unless the receiver pushed the same meanwhile."""
        mark = self._records.on_edge(slot, edge)
        is_wanted = self._records.knowledge[mark] & GAVE == 0
        self._send_pushes(slot[is_wanted], edge[is_wanted], at[is_wanted])

    def _send_pushes(self, slot: Column, edge: Column, at: Column) -> None:
        self.copies += len(slot)
        each = self._records.size[slot] + np.float32(self._sizes.head)
        arrives = self.wires.send(edge, at, self._sizes.push, each)
        goes = np.isfinite(arrives)
        self._pushes.put(self._window, arrives[goes], slot[goes], edge[goes])

    # --- ids --------------------------------------------------------------------------------------

    def _announce(self, at: Column, slot: Column, node: Column) -> None:
        """Nodes tell the ids of what came lately to whoever may not know them."""
        links, records = self._links, self._records
        order = by_number(node)
        at, slot, node = at[order], slot[order], node[order]
        records.state[records.at_node(slot, node)] |= TOLD
        owner, edges = links.edges_of(node)
        slots = slot[owner]
        is_to_hear = records.knowledge[records.on_edge(slots, edges)] & KNOWS == 0
        owner, edges, slots = owner[is_to_hear], edges[is_to_hear], slots[is_to_hear]
        arrives = self.wires.send(edges, at[owner], self._sizes.ids, np.float32(self._sizes.id))
        state = records.state[records.at_node(slots, links.target[edges])]
        goes = np.isfinite(arrives) & (state & TOLD == 0)  # to others it means nothing any more
        self._offers.put(self._window, arrives[goes], slots[goes], edges[goes])

    def _hear(self, at: Column, slot: Column, edge: Column) -> None:
        """Announcements arrive: what is not there is wanted."""
        links, records = self._links, self._records
        back, node = links.back[edge], links.target[edge]
        records.knowledge[records.on_edge(slot, back)] |= KNOWS | OFFERED
        pair = records.at_node(slot, node)
        unheard = np.flatnonzero(records.state[pair] & (SEEN | WANTED) == 0)
        first = unheard[first_of_each(pair[unheard], at[unheard])]
        records.state[pair[first]] |= WANTED
        records.first_offer[pair[first]] = back[first]
        due_at = at[first] + np.float32(GOSSIP_PULL_SECONDS)
        self._due.put(self._window, due_at, slot[first], node[first])

    def _ask(self, at: Column, slot: Column, node: Column) -> None:
        """Of what has not come, peers that announced it are asked, one after the other."""
        links, records = self._links, self._records
        pair = records.at_node(slot, node)
        is_due = records.state[pair] & (SEEN | WANTED) == WANTED
        at, slot, node, pair = at[is_due], slot[is_due], node[is_due], pair[is_due]
        owner, edges = links.edges_of(node)
        mark = records.on_edge(slot[owner], edges)
        can_ask = records.knowledge[mark] & (OFFERED | REQUESTED) == OFFERED
        owner, edges = owner[can_ask], edges[can_ask]
        chosen = np.full(len(node), -1)
        chosen[owner] = edges
        is_first = edges == records.first_offer[pair[owner]]
        chosen[owner[is_first]] = edges[is_first]
        is_offered = chosen >= 0
        records.state[pair[~is_offered]] &= ~(WANTED | ASKED)
        at, slot, node, pair = at[is_offered], slot[is_offered], node[is_offered], pair[is_offered]
        chosen = chosen[is_offered]
        records.state[pair] |= ASKED
        records.knowledge[records.on_edge(slot, chosen)] |= REQUESTED
        self._due.put(self._window, at + np.float32(GOSSIP_REPEAT_PULL_SECONDS), slot, node)
        arrives = self.wires.send(chosen, at, self._sizes.ids, np.float32(self._sizes.id))
        goes = np.isfinite(arrives)
        self._requests.put(self._window, arrives[goes], slot[goes], chosen[goes])

    def _give(self, at: Column, slot: Column, edge: Column) -> None:
        """Requests arrive, from peers to whom the record was announced."""
        self._push(slot, self._links.back[edge], at)

    # --- whom nodes hear from ---------------------------------------------------------------------

    def _promote(self, edge: Column, at: Column) -> None:
        """Who brought what had to be asked for takes the place of the worst provider."""
        grid, links = self._grid, self._links
        to_giver, node = links.back[edge], links.target[edge]
        is_time = grid.promoted_at[node] + np.float32(GOSSIP_PROMOTION_SECONDS) <= at
        ready = np.flatnonzero(is_time & ~grid.is_provider[to_giver])
        ready = ready[first_of_each(node[ready], at[ready])]
        node, edge, to_giver, at = node[ready], edge[ready], to_giver[ready], at[ready]
        grid.promoted_at[node] = at
        providers = grid.providers[node]
        place = np.argmin(grid.first_at[providers], axis=1)
        worst = providers[np.arange(len(node)), place]
        grid.providers[node, place] = to_giver
        grid.is_provider[worst] = False
        grid.is_provider[to_giver] = True
        grid.first_at[to_giver] = at
        for told, edges in ((self._prunes, worst), (self._grafts, to_giver)):
            arrives = self.wires.deliver(edges, at, self._sizes.control)
            told.put(self._window, arrives, links.back[edges])

    def _agree(self, _at: Column, edge: Column, *, is_listener: bool) -> None:
        """Grafts or prunes arrive; `edge` is the one to whom sent them."""
        grid = self._grid
        source = self._links.source[edge]
        changes = grid.is_listener[edge] != is_listener
        if is_listener:
            changes &= grid.listeners[source] < GOSSIP_LISTENERS_MAX
        grid.is_listener[edge[changes]] = is_listener
        change = 1 if is_listener else -1
        np.add.at(grid.listeners, source[changes], change)
