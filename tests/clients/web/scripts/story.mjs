// What every script needs to tell the story; `story.py` listens.
import { createClient } from 'graphql-ws'
import { readFileSync } from 'node:fs'
import WebSocket from 'ws'

// Browsers have it, and Apollo asks it why a connection failed; Node 20 has not.
globalThis.WebSocket ??= WebSocket

const read = (name) => readFileSync(new URL(`../documents/${name}.graphql`, import.meta.url), 'utf-8')
export const [CHANGES, CREATE, HISTORY, PAGE] = ['changes', 'create', 'history', 'page'].map(read)

export const { GRAPHQL_URL: url, SINCE: since } = process.env
export const headers = { Authorization: process.env.AUTHORIZATION }

export const GOOD = { name: 'E' }
export const BAD = { name: 'F', parentId: '0', billingCustomerId: '0' }

export const say = (said) => console.log(JSON.stringify(said))

export const names = (connection) => connection.edges.map(({ node }) => node.name).join('')

export const distinct = (connection) => new Set(connection.edges.map(({ node }) => node.seq)).size

// Returns a listener that says each change of the key, and calls `after` at the last one with the record's id.
export const hearing = (after) => (change) => {
  const heard = change.after.externalKey
  if (heard) say({ heard })
  if (heard === 'last') after(change.recordId)
}

export const socket = (options) =>
  createClient({
    url: url.replace('http', 'ws'),
    connectionParams: headers,
    retryAttempts: Infinity,
    retryWait: () => new Promise((resolve) => setTimeout(resolve, 50)),
    shouldRetry: () => true,
    ...options,
  })

// A client that subscribes again by itself repeats the variables; this keeps `since` at the last change.
export const resuming = (client) => (payload, sink) => {
  const variables = { ...payload.variables }
  return client.subscribe({ ...payload, variables }, {
    ...sink,
    next(answer) {
      if (answer.data?.changes) variables.since = answer.data.changes.cursor
      sink.next(answer)
    },
  })
}
